/** Anthropic's Messages API (https://docs.anthropic.com/en/api/messages, checked 2026-11) as a dialect. */
import { encodeEvent } from "../../wire/sse.ts";
import type { Dialect } from "../dialect.ts";
import { refusedFor, renderError, streamError } from "./errors.ts";
import { inspect } from "./inspect.ts";
import { observe } from "./observe.ts";
import { readUsage } from "./usage.ts";

export const anthropicMessages: Dialect = {
  id: "anthropic-messages",
  inspect,
  observe,
  readUsage,
  refusedFor,
  renderError,
  streamError,
  ping: encodeEvent("ping", '{"type": "ping"}'),
};
