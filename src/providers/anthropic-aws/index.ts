/** Claude Platform on AWS (https://platform.claude.com/docs/en/build-with-claude/claude-platform-on-aws, checked 2026-11). */
import type { AwsPlaceLogin } from "../../credentials/aws/place-login.ts";
import { classify, judgeAws } from "../aws-failures.ts";
import type { Provider } from "../provider.ts";
import { authorize, login } from "./authorize.ts";
import { settings, type AnthropicAwsSettings } from "./config.ts";
import { destination, prepare } from "./endpoint.ts";

export const anthropicAws: Provider<AnthropicAwsSettings, AwsPlaceLogin> = {
  id: "anthropic-aws",
  settings,
  dialects: () => ["anthropic-messages"],
  destination,
  login,
  prepare,
  authorize,
  takesAccountHeaders: true,
  refused: (credentials) => credentials.refused(),
  classify,
  judge: (reply) => judgeAws(reply),
};
