/** Upstreams of a LiteLLM file: entries with the same address and login share one. */
import type { MapNode } from "./document.ts";
import type { ProviderConfig } from "./gateway-config.ts";
import { remarksOf } from "./issues.ts";
import { readSettings, type LiteLlmProvider } from "./litellm-providers.ts";
import type { Field, FieldReader } from "./litellm-values.ts";
import type { ProviderSchemas } from "./providers.ts";
import type { LoadContext } from "./sections.ts";

/** What the places of one file share. */
export interface PlaceScope {
  readonly root: MapNode;
  readonly context: LoadContext;
  readonly read: FieldReader;
  readonly schemas: ProviderSchemas;
  readonly providers: Map<string, ProviderConfig>;
  /** Address and credential → name in `providers`. Lives in memory only, for the time of the load. */
  readonly providerNames: Map<string, string>;
}

/** Something of a file that names a place. */
export interface PlaceSource {
  readonly row: LiteLlmProvider;
  /** The model's name there; undefined: no particular one. */
  readonly model: string | undefined;
  /** A parameter of the entry, or of the credential it names. */
  readonly param: (name: string) => Field | undefined;
  /** The parameters as a whole, for complaints of what is missing. */
  readonly place: Field;
}

/** @returns the name of the place with this address and login, made when it is the first; `address` tells places apart without secrets */
export function providerOf({ row, model, param, place }: PlaceSource, scope: PlaceScope): { readonly provider: string; readonly address: string } {
  const { read, context, providerNames } = scope;
  const { report, env } = context;
  const { kind, required } = row;
  const { settings, fields, variables, leftOut, faults } = readSettings(row, { param, model, read, env });
  for (const { field, text } of leftOut) report.warn(field.node.place, field.path, `\`${text}\` at its end is left out: the gateway adds it`);
  for (const { field, message } of faults) report.fail((field ?? place).node.place, (field ?? place).path, message);
  const address = settings["base_url"] ?? settings["endpoint"] ?? settings["region"] ?? [settings["project"], settings["location"]].filter((part) => part !== undefined).join("/");
  const hasOwnAddress = kind === "anthropic" && fields.has("base_url");
  const isMissing = required !== undefined && settings[required.setting] === undefined && param(required.param) === undefined && !hasOwnAddress;
  if (isMissing) {
    report.fail(place.node.place, [...place.path, required.param], `is required, since the environment variable ${required.env} is not set`);
  }
  const identity = JSON.stringify([kind, settings]);
  const known = providerNames.get(identity);
  if (known !== undefined) return { provider: known, address };
  const count = [...providerNames.values()].filter((name) => name === kind || name.startsWith(`${kind}-`)).length;
  const provider = count === 0 ? kind : `${kind}-${count + 1}`;
  providerNames.set(identity, provider);
  check({ provider, kind, settings }, { fields, variables, place, missing: isMissing ? required.setting : undefined }, scope);
  return { provider, address };
}

interface Found {
  readonly provider: string;
  readonly kind: string;
  readonly settings: Readonly<Record<string, string>>;
}

interface Origin {
  readonly fields: ReadonlyMap<string, Field>;
  readonly variables: ReadonlyMap<string, string>;
  readonly place: Field;
  /** A setting whose absence was told already. */
  readonly missing: string | undefined;
}

function check({ provider, kind, settings }: Found, { fields, variables, place, missing }: Origin, scope: PlaceScope): void {
  const schema = scope.schemas.get(kind);
  if (schema === undefined) throw new Error(`the provider ${kind} is missing from the registry`);
  const checked = schema.safeParse(settings);
  if (checked.success) return void scope.providers.set(provider, { name: provider, kind, settings: checked.data });
  for (const issue of remarksOf(checked.error.issues, scope.root, [], schema)) {
    const setting = String(issue.path[0]);
    const field = fields.get(setting) ?? place;
    const variable = variables.get(setting);
    if (missing === undefined || (issue.path.length > 0 && setting !== missing)) scope.context.report.fail(field.node.place, field.path, variable === undefined ? issue.message : `the environment variable ${variable} ${issue.message}`);
  }
}
