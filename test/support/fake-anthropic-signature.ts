/**
 * Signatures of thinking blocks. The provider refuses a block whose text or signature was touched on its way through the
 * history; the fake must do so too, or a gateway that rewrites thinking would pass.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

const nonceBytes = 12;

/** Signs and verifies with one key; the format (base64 of nonce ‖ HMAC-SHA-256) is our own and opaque to clients. */
export class Signer {
  readonly #key: string;

  constructor(key: string) {
    this.#key = key;
  }

  /** @returns base64, different at each call for the same text */
  sign(text: string): string {
    const nonce = randomBytes(nonceBytes);
    return Buffer.concat([nonce, this.#mac(nonce, text)]).toString("base64");
  }

  /** True only for an untouched pair of text and signature. */
  isValid(text: string, signature: string): boolean {
    const bytes = Buffer.from(signature, "base64");
    if (bytes.toString("base64") !== signature || bytes.length !== nonceBytes + 32) return false;
    return timingSafeEqual(bytes.subarray(nonceBytes), this.#mac(bytes.subarray(0, nonceBytes), text));
  }

  #mac(nonce: Buffer, text: string): Buffer {
    return createHmac("sha256", this.#key).update(nonce).update(text).digest();
  }
}
