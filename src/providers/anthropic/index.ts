/** Anthropic's own API, and every upstream that speaks it unchanged (https://docs.anthropic.com/en/api, checked 2026-11). */
import type { Provider } from "../provider.ts";
import { authorize } from "./authorize.ts";
import { settings, type AnthropicSettings } from "./config.ts";
import { destination, prepare } from "./endpoint.ts";
import { classify } from "./failures.ts";

export const anthropic: Provider<AnthropicSettings> = {
  id: "anthropic",
  settings,
  dialects: () => ["anthropic-messages"],
  destination,
  prepare,
  authorize,
  // A claude.ai login, as Claude Code sends it: https://code.claude.com/docs/en/llm-gateway-protocol, checked 2026-08.
  isClientLogin: (_value, betas) => betas.includes("oauth-2025-04-20"),
  classify,
};
