/**
 * How a status of an Anthropic-format upstream counts. Bodies are not judged: the client heals itself by their wording, so
 * what is delivered goes through unchanged.
 */
import type { ReplyClass } from "../provider.ts";

/** @param ownsCredential the client's own login was used, so a refusal of it is the client's to see */
export function classify(status: number, ownsCredential: boolean): ReplyClass {
  if (status === 401 || status === 403) return ownsCredential ? "deliver" : "credential";
  if (status === 404 || status === 408 || status === 429 || status >= 500) return "retryable";
  return "deliver";
}
