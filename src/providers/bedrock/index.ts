/** Claude on Amazon Bedrock's InvokeModel (https://platform.claude.com/docs/en/build-with-claude/claude-on-amazon-bedrock-legacy, checked 2026-11). */
import type { AwsPlaceLogin } from "../../credentials/aws/place-login.ts";
import { classify } from "../aws-failures.ts";
import type { Provider } from "../provider.ts";
import { authorize, login } from "./authorize.ts";
import { settings, type BedrockSettings } from "./config.ts";
import { countReply, destination, prepare } from "./endpoint.ts";
import { judge } from "./failures.ts";
import { unframe } from "./framing.ts";
import { bedrockModelName } from "./models.ts";

export const bedrock: Provider<BedrockSettings, AwsPlaceLogin> = {
  id: "bedrock",
  settings,
  dialects: () => ["anthropic-messages"],
  destination,
  login,
  modelName: (claudeName, { region, inference_profile: profile }) => bedrockModelName(claudeName, region, profile),
  prepare,
  authorize,
  isClientLogin: (value) => !/^bearer +sk-/i.test(value),
  refused: (credentials) => credentials.refused(),
  classify,
  judge,
  unframe,
  countReply,
};
