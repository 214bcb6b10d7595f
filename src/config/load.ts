/**
 * A file and the environment to one configuration, or to all that is wrong with them, in one pass. Which format the file
 * has is decided here: `model_list`, or another section that only LiteLLM has, makes it LiteLLM's.
 */
import { refuseAcceptance } from "./accept-unenforced.ts";
import { findSurprises, type Finding } from "./checks.ts";
import { configTable, type KeyVerdict } from "./describe.ts";
import { keyPlaceAt, parseYaml, type MapNode, type Path } from "./document.ts";
import type { ConfigNotice, GatewayConfig } from "./gateway-config.ts";
import { codeOf, interpolate } from "./interpolate.ts";
import { readLiteLlm } from "./litellm.ts";
import { readNative, type Draft } from "./native.ts";
import type { ProviderSchemas } from "./providers.ts";
import { createReport } from "./report.ts";
import { besideFile, type LoadContext } from "./sections.ts";

/** What a load needs; nothing else is read. */
export interface LoadOptions {
  /** The file, as it is to be named in complaints. */
  readonly path: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whole text of a file; throws when it cannot be read. */
  readFile(path: string): string;
  /** Settings schema by provider kind. */
  readonly providerSchemas: ProviderSchemas;
  /** Kinds of provider that know a caller's own login by its look; absent: `credential: client` is not checked. */
  readonly clientLoginKinds?: ReadonlySet<string>;
  /** LiteLLM keys that restrict, are not enforced, and are accepted so. */
  readonly accept: readonly string[];
  /** A weak admin key is let through when only this machine can reach the listener. */
  readonly allowInsecureDevKey: boolean;
}

/** A configuration, or every fault with its place. `keys` lists a LiteLLM file's keys with what becomes of each. */
export type LoadResult =
  | { readonly ok: true; readonly config: GatewayConfig; readonly keys: readonly KeyVerdict[] }
  | { readonly ok: false; readonly errors: readonly ConfigNotice[]; readonly keys: readonly KeyVerdict[] };

/** Never throws for a bad file. No message holds a value that came from the environment or from another file. */
export function loadConfig(options: LoadOptions): LoadResult {
  const { path, env, allowInsecureDevKey, clientLoginKinds } = options;
  const report = createReport();
  const context: LoadContext = { path, env, readFile: (name) => options.readFile(name), allowInsecureDevKey, clientLoginKinds, report };
  let text: string;
  try {
    text = options.readFile(path);
  } catch (error) {
    return { ok: false, errors: [{ file: path, line: 0, column: 0, path: "", message: `the file cannot be read (${codeOf(error)})` }], keys: [] };
  }
  const { root, faults } = parseYaml(path, text);
  report.addErrors(faults);
  if (root === undefined) return { ok: false, errors: report.errors(), keys: [] };
  if (isLiteLlm(root)) {
    const { draft, found, merged, modelIndexes } = readLiteLlm(root, context, { schemas: options.providerSchemas, accept: options.accept });
    return finish(draft, { kind: "litellm", root: merged, modelIndexes, keys: configTable(found) }, context);
  }
  refuseAcceptance(options.accept, path, report);
  const resolved = interpolate(root, { env, readFile: (name) => options.readFile(besideFile(path, name)) });
  report.addErrors(resolved.faults);
  return finish(readNative(resolved.root, context, options.providerSchemas), { kind: "native", root: resolved.root, modelIndexes: [], keys: [] }, context);
}

/** A file that only lends logins to the clouds' own paths has no `model_list`, and one that only includes has it elsewhere. */
function isLiteLlm({ entries }: MapNode): boolean {
  if (entries.has("model_list")) return true;
  const sections = ["litellm_settings", "general_settings", "router_settings", "default_vertex_config", "include"];
  return !entries.has("models") && !entries.has("providers") && sections.some((name) => entries.has(name));
}

/** The configuration of a start without a file: Anthropic when the environment has a credential for it, else the simulation. */
export function defaultConfig(options: Pick<LoadOptions, "env" | "providerSchemas"> & Partial<Pick<LoadOptions, "accept">>): LoadResult {
  const path = "the environment";
  const refuse = (): never => {
    throw new Error("no file is read");
  };
  const context: LoadContext = { path, env: options.env, readFile: refuse, allowInsecureDevKey: false, report: createReport() };
  refuseAcceptance(options.accept ?? [], path, context.report);
  const root: MapNode = { kind: "map", place: { file: path, line: 0, column: 0 }, entries: new Map() };
  return finish(readNative(root, context, options.providerSchemas), { kind: "generated", root, modelIndexes: [], keys: [] }, context);
}

/** What is known of the file when its configuration stands. */
interface FileFacts {
  readonly kind: GatewayConfig["source"]["kind"];
  readonly root: MapNode;
  /** Position in the file's list of each model of the configuration; empty: the same. */
  readonly modelIndexes: readonly number[];
  readonly keys: readonly KeyVerdict[];
}

function finish(draft: Draft, facts: FileFacts, context: LoadContext): LoadResult {
  const { report } = context;
  const { kind, keys } = facts;
  const errors = report.errors();
  if (errors.length > 0) return { ok: false, errors, keys };
  for (const finding of findSurprises(draft)) {
    const path = pathOf(finding.subject, facts);
    report.warn(keyPlaceAt(facts.root, path), path, finding.message);
  }
  return { ok: true, config: { ...draft, source: { kind, path: kind === "generated" ? "" : context.path }, warnings: report.warnings() }, keys };
}

/** The key that a finding is about, in the words of the file's format. */
function pathOf(subject: Finding["subject"], { kind, modelIndexes }: FileFacts): Path {
  const isLiteLlm = kind === "litellm";
  if (subject === "models") return [isLiteLlm ? "model_list" : "models"];
  if (subject === "metrics.host") return [...(isLiteLlm ? ["tollgate"] : []), "metrics", "host"];
  if ("alias" in subject) return ["router_settings", "model_group_alias", subject.alias];
  return isLiteLlm ? ["model_list", modelIndexes[subject.model] ?? 0, "model_name"] : ["models", subject.model, "name"];
}
