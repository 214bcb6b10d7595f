/** `tollgate.yaml` to a configuration. Each section, provider and model is checked by itself, so that one fault hides no other. */
import type { LimitRule } from "../limits/limit-rules.ts";
import { Secret } from "../kernel/secret.ts";
import { adminKeyFault, downgradeFaults } from "./checks.ts";
import { keyPlaceAt, nodeAt, placeAt, plainValue, type MapNode, type Path } from "./document.ts";
import type { GatewayConfig, ModelConfig, ProviderConfig } from "./gateway-config.ts";
import { unknownKey } from "./issues.ts";
import { buildModel, type ModelScope } from "./native-models.ts";
import { buildProvider, impliedProvider, withFullPaths, type ProviderSchemas } from "./providers.ts";
import type { Report } from "./report.ts";
import { configSchema } from "./schema.ts";
import { buildRouting } from "./routing.ts";
import { checkRouting } from "./routing-checks.ts";
import { buildSpending } from "./spending.ts";
import { buildSections, checkSections, type LoadContext } from "./sections.ts";

/** A configuration without its warnings, which the caller adds. */
export type Draft = Omit<GatewayConfig, "warnings" | "source">;

/**
 * Reads a file whose references are resolved. Complaints go to the report; the result is only good when there are none.
 *
 * @param root empty when there is no file: then everything is a default, or comes from the environment
 */
export function readNative(root: MapNode, context: LoadContext, schemas: ProviderSchemas): Draft {
  const { report } = context;
  const names = Object.keys(configSchema.shape);
  for (const [key, { keyPlace }] of root.entries) if (!names.includes(key)) report.fail(keyPlace, [key], unknownKey(key, names));
  const { providers: _providers, models: _models, ...own } = configSchema.shape;
  const file = checkSections(own, root, [], report);
  const sections = buildSections(file, root, [], context);

  const hasProviders = isWritten(root, "providers");
  const hasModels = isWritten(root, "models");
  const limits: LimitRule[] = [];
  const isImplied = !hasProviders && !hasModels && report.errors().length === 0;
  const providers = isImplied ? impliedProviders(root, context, schemas) : readProviders(root, context, schemas);
  const models = isImplied ? readImpliedModels(providers, root, { context, limits }) : readModels(providers, root, { context, limits });
  if (models.length === 0 && report.errors().length === 0) {
    report.fail(keyPlaceAt(root, ["models"]), ["models"], "is empty: name at least one model, for instance `- {name: \"claude-*\", provider: anthropic}`");
  }
  if (report.errors().length === 0) reportDowngrades(file.budgets, { models, modelAliases: new Map() }, { root, base: [], report });
  const routing = buildRouting(file.routing);
  if (report.errors().length === 0) checkRouting({ models, routing }, root, report);
  return {
    ...sections,
    admin: { key: readAdminKey(file, root, context), mayInfer: false },
    keyHeader: file.key_header?.toLowerCase(),
    providers: new Map([...providers].flatMap(([name, provider]) => (provider === undefined ? [] : [[name, provider]]))),
    models,
    modelAliases: new Map(),
    lent: new Map(),
    budgets: file.budgets,
    spending: buildSpending(file.spending, "all"),
    routing,
    rateLimits: { countsCacheReads: file.rate_limits.countsCacheReads ?? false, rules: [...file.rate_limits.rules, ...limits] },
    prices: { multiplierPpm: file.prices.multiplier, overrides: new Map(Object.entries(file.prices.overrides)) },
  };
}

/** Complains of budgets that name a model which nothing serves. @param at `base` is the path of the mapping that holds `budgets` */
export function reportDowngrades(budgets: GatewayConfig["budgets"], config: Pick<GatewayConfig, "models" | "modelAliases">, { root, base, report }: { readonly root: MapNode; readonly base: Path; readonly report: Report }): void {
  for (const [index, fault] of downgradeFaults(budgets, config)) {
    const path = [...base, "budgets", index, "downgrade"];
    report.fail(placeAt(root, path), path, fault);
  }
}

function isWritten(root: MapNode, name: string): boolean {
  const node = root.entries.get(name)?.value;
  return node !== undefined && !(node.kind === "scalar" && node.value === null);
}

/** Names to providers; undefined stands for one that is there but has a fault. */
type Providers = ReadonlyMap<string, ProviderConfig | undefined>;

function readProviders(root: MapNode, context: LoadContext, schemas: ProviderSchemas): Providers {
  const { report } = context;
  const node = root.entries.get("providers")?.value;
  const providers = new Map<string, ProviderConfig | undefined>();
  if (node === undefined || (node.kind === "scalar" && node.value === null)) return providers;
  if (node.kind !== "map") {
    report.fail(node.place, ["providers"], "must be a mapping of names to providers");
    return providers;
  }
  for (const [name, { keyPlace, value }] of node.entries) {
    const path: Path = ["providers", name];
    providers.set(name, undefined);
    if (!/^[A-Za-z0-9][\w.-]*$/.test(name)) report.fail(keyPlace, path, "a provider's name has letters, digits, dots, dashes and underscores only");
    const kind = nodeAt(value, ["kind"]);
    if (value.kind !== "map") report.fail(value.place, path, "must be a mapping with at least `kind`");
    else if (kind?.kind !== "scalar" || typeof kind.value !== "string") report.fail(kind?.place ?? keyPlace, [...path, "kind"], `is required; known here: ${[...schemas.keys()].join(", ")}`);
    else if (!report.hasErrorAt(path)) {
      const { kind: _, ...settings } = plainValue(value) as Record<string, unknown>;
      providers.set(name, buildProvider(name, kind.value, withFullPaths(settings, context.path), { root, path, kindPath: [...path, "kind"] }, schemas, report));
    }
  }
  return providers;
}

function impliedProviders(root: MapNode, context: LoadContext, schemas: ProviderSchemas): Providers {
  const { name, settings, remark } = impliedProvider(context.env);
  if (remark !== undefined) context.report.warn({ file: context.path, line: 0, column: 0 }, [], remark);
  return new Map([[name, buildProvider(name, name, settings, { root, path: ["providers", name], kindPath: ["providers", name] }, schemas, context.report)]]);
}

/** What reading models needs, and where the limits of their targets go. */
interface Reading {
  readonly context: LoadContext;
  readonly limits: LimitRule[];
}

function readImpliedModels(providers: Providers, root: MapNode, { context, limits }: Reading): readonly ModelConfig[] {
  const [provider] = providers.keys();
  const scope: ModelScope = { root, report: context.report, providers: new Set(providers.keys()), withoutClientLogin: new Set(), names: new Map(), targetIds: new Map(), limits };
  const model = buildModel({ name: "claude-*", provider }, 0, scope);
  return model === undefined ? [] : [model];
}

function readModels(providers: Providers, root: MapNode, { context, limits }: Reading): readonly ModelConfig[] {
  const { report } = context;
  const node = root.entries.get("models")?.value;
  if (node === undefined || (node.kind === "scalar" && node.value === null)) return [];
  if (node.kind !== "list") {
    report.fail(node.place, ["models"], "must be a list: begin each model with `- `");
    return [];
  }
  const withoutClientLogin = new Set([...providers].flatMap(([name, provider]) => (provider === undefined || context.clientLoginKinds?.has(provider.kind) !== false ? [] : [name])));
  const scope: ModelScope = { root, report, providers: new Set(providers.keys()), withoutClientLogin, names: new Map(), targetIds: new Map(), limits };
  return node.items.flatMap((item, index) => buildModel(plainValue(item), index, scope) ?? []);
}

function readAdminKey(file: { readonly admin: { readonly key?: string | undefined }; readonly listen: { readonly host: string } }, root: MapNode, context: LoadContext): Secret | undefined {
  const { key } = file.admin;
  if (key === undefined) return undefined;
  const fault = adminKeyFault(key, file.listen.host, context.allowInsecureDevKey);
  if (fault !== undefined) context.report.fail(placeAt(root, ["admin", "key"]), ["admin", "key"], fault);
  return new Secret(key);
}
