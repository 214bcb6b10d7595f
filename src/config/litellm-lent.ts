/**
 * Logins that a LiteLLM file lends to the clouds' own paths, for names of models that `model_list` does not have: of entries with
 * `use_in_pass_through`, of `default_vertex_config` and the environment, or a client's own. Order and names:
 * https://docs.litellm.ai/docs/pass_through/vertex_ai and /bedrock, checked 2026-11.
 */
import type { MapNode, Place } from "./document.ts";
import { plainModel, plainTarget, type ModelConfig, type TargetConfig, type TimeoutsConfig } from "./gateway-config.ts";
import { unknownKey } from "./issues.ts";
import { providerOf, type PlaceScope } from "./litellm-places.ts";
import { litellmProviders, type LiteLlmProvider } from "./litellm-providers.ts";
import { member, sectionOf, type Field } from "./litellm-values.ts";
import { targetId } from "./target-id.ts";

/** An entry that lends its login. */
export interface Lender {
  /** Kind of its provider. */
  readonly kind: string;
  /** Its `use_in_pass_through`. */
  readonly field: Field;
  /** Name in `providers`. */
  readonly provider: string;
  readonly address: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly timeouts: Partial<TimeoutsConfig>;
}

interface LentScope extends PlaceScope {
  /** `litellm_key_header_name`, where it names a header. */
  readonly keyHeader: Field | undefined;
}

/** What LiteLLM reads for its Vertex paths alone, by our settings. */
const defaults: Readonly<Record<string, { readonly key: string; readonly variable: string }>> = {
  project: { key: "vertex_project", variable: "DEFAULT_VERTEXAI_PROJECT" },
  location: { key: "vertex_location", variable: "DEFAULT_VERTEXAI_LOCATION" },
  credentials: { key: "vertex_credentials", variable: "DEFAULT_GOOGLE_APPLICATION_CREDENTIALS" },
};

/** @returns by kind of provider; told as a remark where nobody wrote it in the file */
export function readLent(root: MapNode, lenders: readonly Lender[], scope: LentScope): ReadonlyMap<string, ModelConfig> {
  const { report } = scope.context;
  const lent = new Map<string, ModelConfig>();
  const names = new Map<string, string>();
  for (const { kind, field, provider, address, headers, timeouts } of lenders) {
    const known = names.get(kind);
    if (known === undefined) {
      names.set(kind, provider);
      lent.set(kind, lentModel(kind, address, { provider, headers, timeouts }));
    } else if (known !== provider) report.warn(field.node.place, field.path, "another entry lends its login to these paths already, and the first counts: project, location and region of a client's URL choose none");
  }
  lendDefaults(root, lent, scope);
  lendEnvironment(root, lent, scope);
  lendClients(lent, scope);
  return lent;
}

/** `default_vertex_config` and its variables. */
function lendDefaults(root: MapNode, lent: Map<string, ModelConfig>, scope: LentScope): void {
  const { report, env } = scope.context;
  const section = sectionOf(root, "default_vertex_config", report);
  const keys = Object.values(defaults).map(({ key }) => key);
  if (section?.node.kind === "map") for (const [name, { keyPlace }] of section.node.entries) if (!keys.includes(name)) report.fail(keyPlace, [...section.path, name], unknownKey(name, keys));
  const variables = Object.values(defaults).map(({ variable }) => variable).filter((name) => env[name] !== undefined && env[name] !== "");
  const isWritten = section?.node.kind === "map" && section.node.entries.size > 0;
  if (!isWritten && variables.length === 0) return;
  const row = rowOf("vertex", scope);
  if (row === undefined) return;
  if (lent.has("vertex")) {
    const place = section?.node.place ?? nowhere(root);
    return report.warn(place, ["default_vertex_config"], "has no use: an entry with `use_in_pass_through` lends its login to these paths already");
  }
  const own: LiteLlmProvider = {
    ...row,
    settings: row.settings.flatMap((source) => {
      const found = defaults[source.setting];
      return found === undefined ? [] : [{ ...source, params: [found.key], env: [found.variable, ...(source.env ?? [])] }];
    }),
  };
  const place: Field = section ?? { node: { ...root, place: nowhere(root) }, path: ["default_vertex_config"] };
  const { provider, address } = providerOf({ row: own, model: undefined, param: (name) => member(section, name), place }, scope);
  lent.set("vertex", lentModel("vertex", address, { provider }));
  if (!isWritten) report.warn(nowhere(root), [], `${variables.join(", ")} of the environment: as with LiteLLM, \`/vertex_ai\` serves models that \`model_list\` does not have with this login`);
}

/** LiteLLM's Bedrock paths have the default chain's login wherever this variable, which only LiteLLM knows, names a region. */
function lendEnvironment(root: MapNode, lent: Map<string, ModelConfig>, scope: LentScope): void {
  const { report, env } = scope.context;
  const region = env["AWS_REGION_NAME"];
  const row = rowOf("bedrock", scope);
  if (region === undefined || region === "" || lent.has("bedrock") || row === undefined) return;
  const place: Field = { node: { ...root, place: nowhere(root) }, path: [] };
  const { provider, address } = providerOf({ row, model: undefined, param: () => undefined, place }, scope);
  lent.set("bedrock", lentModel("bedrock", address, { provider }));
  report.warn(nowhere(root), [], "AWS_REGION_NAME of the environment: as with LiteLLM, `/bedrock` serves models that `model_list` does not have in this region, with the login that AWS's own clients would find");
}

/** A header of its own for the gateway's key leaves `Authorization` to a client's login, and without another one it is meant so. */
function lendClients(lent: Map<string, ModelConfig>, scope: LentScope): void {
  const { keyHeader, providers, context: { report } } = scope;
  const row = rowOf("vertex", scope);
  const isKnown = lent.has("vertex") || [...providers.values()].some(({ kind }) => kind === "vertex");
  if (keyHeader === undefined || row === undefined || isKnown) return;
  // No setting of the environment: project and location are those of the client's URL, and the host is Google's.
  const { provider } = providerOf({ row: { ...row, settings: [], required: undefined }, model: undefined, param: () => undefined, place: keyHeader }, scope);
  lent.set("vertex", lentModel("vertex", "client", { provider, credential: "client" }));
  report.warn(keyHeader.node.place, keyHeader.path, "no Vertex AI login is configured, so `/vertex_ai` sends a client's own Google token to Google's host for the project and location of the URL, for models that `model_list` does not have; the gateway's key goes to nobody");
}

function rowOf(kind: string, { schemas }: LentScope): LiteLlmProvider | undefined {
  return litellmProviders.find((row) => row.kind === kind && schemas.has(kind));
}

function lentModel(kind: string, address: string, own: Pick<TargetConfig, "provider"> & Partial<TargetConfig>): ModelConfig {
  const target: TargetConfig = { id: targetId(["use_in_pass_through", kind, address]), model: "*", credential: "provider", priceModel: undefined, price: undefined, headers: new Map(), timeouts: {}, ...plainTarget, ...own };
  return { name: "*", aliases: [], accessGroups: [], targets: [target], ...plainModel };
}

/** The environment is in no line of the file. */
function nowhere(root: MapNode): Place {
  return { file: root.place.file, line: 0, column: 0 };
}
