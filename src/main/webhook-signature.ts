/** How a receiver knows that a message is this gateway's, and when it was sent. */
import { createHmac } from "node:crypto";
import type { Secret } from "../kernel/secret.ts";

/** The value of `tollgate-signature`: seconds since the epoch, and the HMAC-SHA256 over them, a dot and the body, in hex. */
export function signatureOf(secret: Secret, body: string, nowMs: number): string {
  const seconds = Math.floor(nowMs / 1_000);
  return `t=${seconds},v1=${createHmac("sha256", secret.reveal()).update(`${seconds}.${body}`).digest("hex")}`;
}
