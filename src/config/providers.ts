/** Upstreams of a configuration, each checked by the schema of its own provider, and those that the environment implies. */
import type { z } from "zod";
import { placeAt, type MapNode, type Path } from "./document.ts";
import type { ProviderConfig } from "./gateway-config.ts";
import { remarksOf } from "./issues.ts";
import { suggestion } from "./nearest.ts";
import type { Report } from "./report.ts";
import { besideFile } from "./sections.ts";

/** Settings schemas by provider kind. */
export type ProviderSchemas = ReadonlyMap<string, z.ZodType>;

/** Where a provider is written, for complaints. */
export interface ProviderSource {
  readonly root: MapNode;
  /** Path of the settings. */
  readonly path: Path;
  /** Path of the kind; the provider's own when it is implied. */
  readonly kindPath: Path;
}

/** @returns undefined, after a complaint, when there is no such kind or its schema refuses the settings */
export function buildProvider(name: string, kind: string, settings: unknown, source: ProviderSource, schemas: ProviderSchemas, report: Report): ProviderConfig | undefined {
  const schema = schemas.get(kind);
  if (schema === undefined) {
    const known = [...schemas.keys()];
    const near = suggestion(kind, known);
    report.fail(placeAt(source.root, source.kindPath), source.kindPath, `there is no such provider in this build${near === "" ? `; known here: ${known.join(", ")}` : near}`);
    return undefined;
  }
  const checked = schema.safeParse(settings);
  if (checked.success) return { name, kind, settings: checked.data };
  report.addErrors(remarksOf(checked.error.issues, source.root, source.path, schema));
  return undefined;
}

/** Settings of providers, of whatever kind, that are the path of a file; one of them may also be the file's JSON. */
const pathSettings = ["credentials", "web_identity_token_file"] as const;

/** The settings with relative paths led to the folder of the file they stand in, as all paths of a configuration are. */
export function withFullPaths(settings: Readonly<Record<string, unknown>>, file: string): Record<string, unknown> {
  const full: Record<string, unknown> = { ...settings };
  for (const name of pathSettings) {
    const value = settings[name];
    if (typeof value === "string" && value !== "" && !value.trimStart().startsWith("{")) full[name] = besideFile(file, value);
  }
  return full;
}

/** What the environment offers for a start without any provider. */
export interface ImpliedProvider {
  readonly name: string;
  readonly settings: Readonly<Record<string, string>>;
  /** Why a credential that is there was left alone. */
  readonly remark: string | undefined;
}

/**
 * `ANTHROPIC_API_KEY`, else `ANTHROPIC_AUTH_TOKEN`, else the simulation. A secret that goes with another base URL is for
 * whoever is there (this gateway's own developer key, mostly) and no login for Anthropic.
 */
export function impliedProvider(env: Readonly<Record<string, string | undefined>>): ImpliedProvider {
  const { ANTHROPIC_API_KEY: apiKey = "", ANTHROPIC_AUTH_TOKEN: authToken = "", ANTHROPIC_BASE_URL: baseUrl = "" } = env;
  const isForAnthropic = baseUrl === "" || (URL.canParse(baseUrl) && new URL(baseUrl).origin === "https://api.anthropic.com");
  if (isForAnthropic && apiKey !== "") return { name: "anthropic", settings: { api_key: apiKey }, remark: undefined };
  if (isForAnthropic && authToken !== "") return { name: "anthropic", settings: { auth_token: authToken }, remark: undefined };
  const ignored = [apiKey === "" ? "" : "ANTHROPIC_API_KEY", authToken === "" ? "" : "ANTHROPIC_AUTH_TOKEN"].filter((name) => name !== "");
  const remark = ignored.length === 0 ? undefined : `${ignored.join(" and ")} ${ignored.length === 1 ? "is" : "are"} left alone: ANTHROPIC_BASE_URL names another address than Anthropic's, so this is for whoever is there`;
  return { name: "demo", settings: {}, remark };
}
