/** Every dialect there is; one line each. The ids are the keys. */
import type { Dialect } from "./dialect.ts";
import { anthropicMessages } from "./anthropic-messages/index.ts";

export const dialects = {
  "anthropic-messages": anthropicMessages,
} as const satisfies Record<string, Dialect>;

export type DialectId = keyof typeof dialects;
