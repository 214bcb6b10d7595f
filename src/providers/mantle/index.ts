/** Claude in Amazon Bedrock's Messages endpoint (https://platform.claude.com/docs/en/build-with-claude/claude-in-amazon-bedrock, checked 2026-11). */
import type { AwsPlaceLogin } from "../../credentials/aws/place-login.ts";
import { classify, judgeAws } from "../aws-failures.ts";
import type { Provider } from "../provider.ts";
import { authorize, login } from "./authorize.ts";
import { settings, type MantleSettings } from "./config.ts";
import { destination, mantleModelName, prepare } from "./endpoint.ts";

export const mantle: Provider<MantleSettings, AwsPlaceLogin> = {
  id: "mantle",
  settings,
  dialects: () => ["anthropic-messages"],
  destination,
  login,
  modelName: mantleModelName,
  prepare,
  authorize,
  // A Bedrock API key, as Bedrock itself takes it.
  isClientLogin: (value) => !/^bearer +sk-/i.test(value),
  refused: (credentials) => credentials.refused(),
  classify,
  judge: (reply) => judgeAws(reply),
};
