/** By what a conversation is known again, so that it finds its prompt cache. */
import { hash } from "node:crypto";

export interface Conversation {
  readonly keyId: string;
  readonly sessionId: string | null;
  /** Caches are of one model. */
  readonly model: string;
  /** With a login of the caller's own: its targets and caches are others. */
  readonly hasOwnLogin: boolean;
  /** Tools and system prompt, asked for only where there is no session. */
  readonly promptPrefix: () => Buffer | undefined;
}

/** Ids are chosen by clients, so a key's are its own. Undefined where nothing tells one conversation from another. */
export function affinityKey({ keyId, sessionId, model, hasOwnLogin, promptPrefix }: Conversation): string | undefined {
  const owner = `${keyId} ${model} ${hasOwnLogin ? "own" : ""}`;
  if (sessionId !== null) return `${owner} s ${sessionId}`;
  const prefix = promptPrefix();
  return prefix === undefined ? undefined : `${owner} p ${hash("sha256", prefix, "base64url")}`;
}
