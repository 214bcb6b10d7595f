/** Claude in Microsoft Foundry (https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry, checked 2026-11). */
import type { Provider } from "../provider.ts";
import { authorize } from "./authorize.ts";
import { settings, type FoundrySettings } from "./config.ts";
import { destination, prepare } from "./endpoint.ts";
import { classify, judge } from "./failures.ts";
import { deploymentName } from "./models.ts";

export const foundry: Provider<FoundrySettings> = {
  id: "foundry",
  settings,
  dialects: () => ["anthropic-messages"],
  destination,
  modelName: deploymentName,
  prepare,
  authorize,
  // A token of Entra ID, which Claude Code sends as ANTHROPIC_FOUNDRY_AUTH_TOKEN: packages/foundry-sdk/src/client.ts, checked 2026-11.
  isClientLogin: (value) => !/^bearer +sk-/i.test(value),
  classify,
  judge,
};
