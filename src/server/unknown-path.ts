/**
 * What is said about a path that no row of the route table has. Most often a base URL repeats what the client adds itself, so the
 * refusal names the part that is there twice and the setting in which it stands.
 */
import { GatewayError } from "../kernel/gateway-error.ts";
import type { ErrorShape } from "./route-table.ts";

/** What a client of one prefix sets, and how it ends when it is right. */
interface Setting {
  readonly variable: string;
  readonly basePath: string;
}

const settings: Readonly<Record<string, Setting>> = {
  v1: { variable: "ANTHROPIC_BASE_URL", basePath: "" },
  anthropic: { variable: "ANTHROPIC_BASE_URL", basePath: "/anthropic" },
  bedrock: { variable: "ANTHROPIC_BEDROCK_BASE_URL", basePath: "/bedrock" },
  vertex_ai: { variable: "ANTHROPIC_VERTEX_BASE_URL", basePath: "/vertex_ai/v1" },
  "vertex-ai": { variable: "ANTHROPIC_VERTEX_BASE_URL", basePath: "/vertex-ai/v1" },
  foundry: { variable: "ANTHROPIC_FOUNDRY_BASE_URL", basePath: "/foundry" },
  mantle: { variable: "ANTHROPIC_BEDROCK_MANTLE_BASE_URL", basePath: "/mantle" },
  "anthropic-aws": { variable: "ANTHROPIC_AWS_BASE_URL", basePath: "/anthropic-aws" },
};

/** The refusal of an unknown path, with the mend where the path shows what is wrong. */
export function unknownPath(path: string): GatewayError {
  const [, first = "", second, third] = path.split("/");
  const setting = Object.hasOwn(settings, first) ? settings[first] : undefined;
  const doubled = first === second ? first : second === "v1" && third === "v1" ? "v1" : undefined;
  if (setting === undefined || doubled === undefined) return new GatewayError("client_path_unknown");
  const isBefore = doubled === "v1" && !setting.basePath.endsWith("/v1");
  const rule = isBefore ? "must end before /v1" : `must have /${doubled} once`;
  return new GatewayError("client_path_unknown", { publicText: `The path has /${doubled} twice: the base URL ${rule}, for instance ${setting.variable}=http://127.0.0.1:4000${setting.basePath}.` });
}

const anthropicPrefixes: ReadonlySet<string> = new Set(Object.keys(settings).filter((prefix) => prefix !== "v1" && prefix !== "bedrock"));

/** The error shape that clients of a path's prefix read; undefined where the path does not tell. */
export function shapeOfPath(path: string): ErrorShape | undefined {
  const first = path.split(/[/?]/, 2)[1] ?? "";
  if (first === "bedrock") return "bedrock";
  return anthropicPrefixes.has(first) || /^(?:\/v1)+\/messages/.test(path) ? "anthropic" : undefined;
}
