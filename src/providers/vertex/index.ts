/** Claude on Google Cloud's Vertex AI, now called Agent Platform (https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai, checked 2026-11). */
import type { Provider } from "../provider.ts";
import { authorize, login, type VertexCredentials } from "./authorize.ts";
import { settings, type VertexSettings } from "./config.ts";
import { destination, isOwnOrigin, prepare } from "./endpoint.ts";
import { classify, judge } from "./failures.ts";
import { vertexModelName } from "./models.ts";

export const vertex: Provider<VertexSettings, VertexCredentials> = {
  id: "vertex",
  settings,
  dialects: () => ["anthropic-messages"],
  destination,
  isOwnOrigin,
  login,
  modelName: vertexModelName,
  prepare,
  authorize,
  isClientLogin: (value) => !/^bearer +sk-/i.test(value),
  priceRegion: ({ location }, clientProject) => ((clientProject?.location ?? location) === "global" ? undefined : "regional"),
  refused: (credentials) => credentials.refused(),
  classify,
  judge,
};
