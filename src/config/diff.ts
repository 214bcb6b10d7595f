/**
 * What changes between two configurations, and for whom, in sentences: for `tollgate config diff`, and for whoever reloads one. No
 * sentence holds a secret, nor any other setting of a provider.
 */
import type { Budget } from "../ledger/budget.ts";
import { idOf, kindOf, type Scope } from "../ledger/scope.ts";
import { isSame } from "../kernel/same.ts";
import { formatUsd } from "../kernel/money.ts";
import { matchesPattern } from "./checks.ts";
import { settingsOf, shownSetting } from "./diff-settings.ts";
import type { GatewayConfig, ModelConfig, PriceOverride, TargetConfig } from "./gateway-config.ts";

/** One thing that is otherwise. */
export interface ConfigChange {
  readonly subject: "model" | "target" | "alias" | "provider" | "price" | "budget" | "limit" | "setting";
  /** Of the model, provider, scope or key that it is about. */
  readonly name: string;
  readonly change: "added" | "removed" | "changed";
  /** One sentence. */
  readonly text: string;
}

/** Empty when both say the same. */
export function diffConfigs(before: GatewayConfig, after: GatewayConfig): readonly ConfigChange[] {
  return [...diffModels(before, after), ...diffAliases(before, after), ...diffLent(before, after), ...diffProviders(before, after), ...diffPrices(before, after), ...diffBudgets(before.budgets, after.budgets), ...diffLimits(before, after), ...diffSettings(before, after)];
}

/** Members of either by name, with their values in both. */
function pairs<Value>(before: ReadonlyMap<string, Value>, after: ReadonlyMap<string, Value>): readonly (readonly [name: string, before: Value | undefined, after: Value | undefined])[] {
  return [...new Set([...before.keys(), ...after.keys()])].map((name) => [name, before.get(name), after.get(name)] as const);
}

function byName<Value extends { readonly name: string }>(list: readonly Value[]): ReadonlyMap<string, Value> {
  return new Map(list.map((each) => [each.name, each]));
}

function diffModels(before: GatewayConfig, after: GatewayConfig): readonly ConfigChange[] {
  const [namedBefore, namedAfter] = [byName(before.models), byName(after.models)];
  const changes = pairs(namedBefore, namedAfter).flatMap(([name, old, now]): readonly ConfigChange[] => {
    if (old === undefined && now !== undefined) return [{ subject: "model", name, change: "added", text: `Model ${name} can be asked for, by every key that may use it; it is served by ${placesOf(now)}.` }];
    if (old !== undefined && now === undefined) return [{ subject: "model", name, change: "removed", text: `Model ${name} is gone: ${goneText(name, after)}` }];
    return old === undefined || now === undefined ? [] : diffModel(old, now, after);
  });
  const kept = (own: ReadonlyMap<string, ModelConfig>, other: ReadonlyMap<string, ModelConfig>): readonly string[] => [...own.keys()].filter((name) => other.has(name));
  if (!isSame(kept(namedBefore, namedAfter), kept(namedAfter, namedBefore))) changes.push({ subject: "setting", name: "models", change: "changed", text: "The order of the models is another; of patterns that fit equally well the first one counts." });
  return changes;
}

function goneText(name: string, after: GatewayConfig): string {
  const heir = name.includes("*") ? undefined : after.models.find((model) => matchesPattern(model.name, name) || model.aliases.includes(name));
  return heir === undefined ? "who asks for it is refused." : `who asks for it gets ${heir.name}, served by ${placesOf(heir)}.`;
}

function placesOf({ name, targets }: ModelConfig): string {
  return targets.map((target) => placeOf(target, name)).join(", then ");
}

/** The provider's name of the model only where it is another than clients ask for. */
function placeOf({ provider, model }: TargetConfig, publicName: string): string {
  return model === "*" || model === publicName ? provider : `${provider} (${model})`;
}

function diffModel(old: ModelConfig, now: ModelConfig, after: GatewayConfig): readonly ConfigChange[] {
  const { name } = now;
  const changes: ConfigChange[] = [];
  const note = (subject: ConfigChange["subject"], change: ConfigChange["change"], text: string): void => void changes.push({ subject, name, change, text });
  for (const alias of now.aliases) if (!old.aliases.includes(alias)) note("alias", "added", `Model ${name} can be asked for as ${alias}.`);
  for (const alias of old.aliases) if (!now.aliases.includes(alias)) note("alias", "removed", `Model ${name} is no longer called ${alias}: ${goneText(alias, after)}`);
  if (!isSame(old.accessGroups, now.accessGroups)) note("model", "changed", `Model ${name} is in the access groups ${listed(now.accessGroups)} instead of ${listed(old.accessGroups)}: keys whose rights name one of them may use it or not accordingly.`);
  if (old.strategy !== now.strategy) note("model", "changed", `Calls for ${name} are spread by ${now.strategy} instead of ${old.strategy}.`);
  if (old.hasAffinity !== now.hasAffinity) note("model", "changed", `Sessions of ${name} ${now.hasAffinity ? "stay" : "no longer stay"} where their prompt cache is warm.`);
  for (const reason of ["failure", "contextWindow", "contentPolicy"] as const) {
    if (!isSame(old.fallbacks[reason], now.fallbacks[reason])) note("model", "changed", `${fallbackWords[reason]}, calls for ${name} go on at ${listed(now.fallbacks[reason])} instead of ${listed(old.fallbacks[reason])}.`);
  }
  const [targetsBefore, targetsNow] = [new Map(old.targets.map((target) => [target.id, target])), new Map(now.targets.map((target) => [target.id, target]))];
  for (const [, was, is] of pairs(targetsBefore, targetsNow)) {
    if (was === undefined && is !== undefined) note("target", "added", `Calls for ${name} may go to ${placeOf(is, name)}.`);
    else if (was !== undefined && is === undefined) note("target", "removed", `Calls for ${name} no longer go to ${placeOf(was, name)}.`);
    else if (was !== undefined && is !== undefined) for (const text of diffTarget(was, is, name)) note("target", "changed", `${text} (model ${name}).`);
  }
  const order = ({ targets }: ModelConfig, other: ReadonlyMap<string, TargetConfig>): readonly string[] => targets.map(({ id }) => id).filter((id) => other.has(id));
  if (!isSame(order(old, targetsNow), order(now, targetsBefore))) note("target", "changed", `Targets of ${name} stand in another order: ${placesOf(now)}.`);
  return changes;
}

const fallbackWords = { failure: "When every target has failed", contextWindow: "When a prompt is too long", contentPolicy: "When a content policy refuses" } as const;

function diffTarget(was: TargetConfig, is: TargetConfig, publicName: string): readonly string[] {
  const texts: string[] = [];
  const place = placeOf(is, publicName);
  if (was.provider !== is.provider || was.model !== is.model) texts.push(`Target ${is.id} is ${place} instead of ${placeOf(was, publicName)}`);
  if (was.priority !== is.priority) texts.push(`Target ${place} has priority ${is.priority} instead of ${was.priority}`);
  if (was.weight !== is.weight) texts.push(`Target ${place} has weight ${is.weight} instead of ${was.weight}`);
  if (!isSame(was.tags, is.tags)) texts.push(`Target ${place} has the tags ${listed(is.tags)} instead of ${listed(was.tags)}`);
  if (was.inputTokensMax !== is.inputTokensMax) texts.push(`Target ${place} takes prompts of ${lengthText(is.inputTokensMax)} instead of ${lengthText(was.inputTokensMax)}`);
  if (was.credential !== is.credential) texts.push(is.credential === "client" ? `Target ${place} is called with the callers' own logins` : `Target ${place} is called with the gateway's credential instead of the callers'`);
  if (was.priceModel !== is.priceModel) texts.push(`Target ${place} is charged at the price of ${is.priceModel ?? is.model}`);
  if (!isSame(was.price, is.price)) texts.push(`Target ${place} costs ${priceText(is.price)} instead of ${priceText(was.price)}`);
  for (const [member, word] of [["headers", "added headers"], ["timeouts", "time limits"]] as const) if (!isSame(was[member], is[member])) texts.push(`Target ${place} has other ${word}`);
  return texts;
}

function lengthText(tokensMax: number | undefined): string {
  return tokensMax === undefined ? "any length" : `up to ${tokensMax} tokens`;
}

function diffAliases(before: GatewayConfig, after: GatewayConfig): readonly ConfigChange[] {
  return pairs(before.modelAliases, after.modelAliases).flatMap(([name, old, now]): readonly ConfigChange[] => {
    if (isSame(old, now)) return [];
    if (now === undefined) return [{ subject: "alias", name, change: "removed", text: `The name ${name} is gone: ${goneText(name, after)}` }];
    const text = `Who asks for ${name} gets ${now.model}${old === undefined || old.model === now.model ? "" : ` instead of ${old.model}`}${now.isHidden ? "; the name is not listed" : ""}.`;
    return [{ subject: "alias", name, change: old === undefined ? "added" : "changed", text }];
  });
}

/** What serves names of a cloud's own that no model has. */
function diffLent(before: GatewayConfig, after: GatewayConfig): readonly ConfigChange[] {
  return pairs(before.lent, after.lent).flatMap(([name, old, now]): readonly ConfigChange[] => {
    if (isSame(old, now)) return [];
    const whoAsks = `Clients of ${name} that ask for a model by its cloud's name, which is in no list,`;
    if (now === undefined) return [{ subject: "model", name, change: "removed", text: `${whoAsks} are refused.` }];
    return [{ subject: "model", name, change: old === undefined ? "added" : "changed", text: `${whoAsks} are served by ${placesOf(now)}${old === undefined ? "" : ` instead of ${placesOf(old)}`}.` }];
  });
}

function diffProviders(before: GatewayConfig, after: GatewayConfig): readonly ConfigChange[] {
  return pairs(before.providers, after.providers).flatMap(([name, old, now]): readonly ConfigChange[] => {
    if (old === undefined) return [{ subject: "provider", name, change: "added", text: `Provider ${name} (${now?.kind ?? ""}) is there.` }];
    if (now === undefined) return [{ subject: "provider", name, change: "removed", text: `Provider ${name} (${old.kind}) is gone.` }];
    if (old.kind !== now.kind) return [{ subject: "provider", name, change: "changed", text: `Provider ${name} is ${now.kind} instead of ${old.kind}.` }];
    const names = pairs(membersOf(old.settings), membersOf(now.settings)).flatMap(([member, was, is]) => (isSame(was, is) ? [] : [member]));
    return names.length === 0 ? [] : [{ subject: "provider", name, change: "changed", text: `Provider ${name} has another ${listed(names)}: calls for ${listed(modelsAt(name, after))} use it.` }];
  });
}

function membersOf(settings: unknown): ReadonlyMap<string, unknown> {
  return new Map(typeof settings === "object" && settings !== null ? Object.entries(settings) : []);
}

function modelsAt(provider: string, { models }: GatewayConfig): readonly string[] {
  return models.filter(({ targets }) => targets.some((target) => target.provider === provider)).map(({ name }) => name);
}

function diffPrices({ prices: before }: GatewayConfig, { prices: after }: GatewayConfig): readonly ConfigChange[] {
  const changes = pairs(before.overrides, after.overrides).flatMap(([name, old, now]): readonly ConfigChange[] => {
    if (isSame(old, now)) return [];
    const change = old === undefined ? "added" : now === undefined ? "removed" : "changed";
    return [{ subject: "price", name, change, text: `${name} costs ${priceText(now)} instead of ${priceText(old)}, for every caller.` }];
  });
  if (before.multiplierPpm !== after.multiplierPpm) changes.push({ subject: "price", name: "prices.multiplier", change: "changed", text: `Every cost is multiplied by ${factor(after.multiplierPpm)} instead of ${factor(before.multiplierPpm)}.` });
  return changes;
}

function factor(ppm: bigint): string {
  return String(Number(ppm) / 1_000_000);
}

const priceWords = { input: "input", output: "output", cacheRead: "cache read", cacheWrite5m: "cache write (5 min)", cacheWrite1h: "cache write (1 h)" } as const;

function priceText(price: PriceOverride | undefined): string {
  const parts = (Object.keys(priceWords) as (keyof PriceOverride)[]).flatMap((kind) => (price?.[kind] === undefined ? [] : [`$${Number(price[kind]) / 1_000_000} ${priceWords[kind]}`]));
  return parts.length === 0 ? "the price book's prices" : `${parts.join(", ")} per million tokens`;
}

function diffBudgets(before: readonly Budget[], after: readonly Budget[]): readonly ConfigChange[] {
  const byId = (budgets: readonly Budget[]): ReadonlyMap<string, Budget> => new Map(budgets.map((budget) => [budget.id, budget]));
  return pairs(byId(before), byId(after)).flatMap(([name, old, now]): readonly ConfigChange[] => {
    if (old === undefined && now !== undefined) return [{ subject: "budget", name, change: "added", text: `${whose(now)} may spend ${amountOf(now)}; what was spent in the running window counts.` }];
    if (old !== undefined && now === undefined) return [{ subject: "budget", name, change: "removed", text: `${whose(old)} has no budget of ${amountOf(old)} any more.` }];
    if (old === undefined || now === undefined || isSame(comparable(old), comparable(now))) return [];
    const isMoved = old.scope !== now.scope || old.per !== now.per;
    if (isMoved || old.amountNanoUsd !== now.amountNanoUsd || old.window.key !== now.window.key) return [{ subject: "budget", name, change: "changed", text: `${whose(now)} may spend ${amountOf(now)} instead of ${isMoved ? `${whose(old)} ` : ""}${amountOf(old)}.` }];
    const names = pairs(membersOf(comparable(old)), membersOf(comparable(now))).flatMap(([member, was, is]) => (isSame(was, is) ? [] : [budgetWords[member as keyof Budget] ?? member]));
    return [{ subject: "budget", name, change: "changed", text: `The budget of ${amountOf(now)} for ${whose(now)} has another ${listed(names)}.` }];
  });
}

const budgetWords: Partial<Record<keyof Budget, string>> = { onExhausted: "on_exhausted", overrunMaxNanoUsd: "overrun_max", downgradeModel: "downgrade", warnAtPercent: "warn_at", failOpen: "fail_open" };

/** A budget as it can be compared: windows of equal keys are equal, whatever they remember. */
export function comparable({ window, ...budget }: Budget): object {
  return { ...budget, window: window.key };
}

function amountOf({ amountNanoUsd, window }: Budget): string {
  return `$${formatUsd(amountNanoUsd)} (${window.text})`;
}

function whose({ scope, per }: Budget): string {
  const own = scopeWords(scope);
  return per === "pool" ? own : kindOf(scope as Scope) === "key" ? `each run of ${own}` : `each user of ${own}`;
}

function scopeWords(scope: string): string {
  if (scope === "global") return "everybody together";
  const kind = kindOf(scope as Scope).replace("_", " ");
  const id = idOf(scope as Scope);
  return id === "*" || id === "*/*" ? `each ${kind}` : `${kind} ${id}`;
}

function diffLimits({ rateLimits: before }: GatewayConfig, { rateLimits: after }: GatewayConfig): readonly ConfigChange[] {
  const byScope = ({ rules }: GatewayConfig["rateLimits"]): ReadonlyMap<string, readonly object[]> => Map.groupBy(rules.map(({ scope, max }) => ({ scope, max })), ({ scope }) => scope);
  const text = (rules: readonly object[] | undefined): string => (rules === undefined ? "no limits of its own" : rules.map((rule) => Object.entries((rule as { max: object }).max).map(([kind, max]) => `${wordsOf(kind)} ${max}`).join(", ")).join("; "));
  const changes = pairs(byScope(before), byScope(after)).flatMap(([name, old, now]): readonly ConfigChange[] => {
    if (isSame(old, now)) return [];
    const change = old === undefined ? "added" : now === undefined ? "removed" : "changed";
    return [{ subject: "limit", name, change, text: `${scopeWords(name)} has ${text(now)} instead of ${text(old)}.` }];
  });
  if (before.countsCacheReads !== after.countsCacheReads) changes.push({ subject: "limit", name: "rate_limits.count_cache_reads", change: "changed", text: `Tokens read from a prompt cache ${after.countsCacheReads ? "count" : "no longer count"} under limits of tokens.` });
  return changes;
}

/** `requestsPerMinute` as words. */
function wordsOf(kind: string): string {
  return kind.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function diffSettings(before: GatewayConfig, after: GatewayConfig): readonly ConfigChange[] {
  return pairs(settingsOf(before), settingsOf(after)).flatMap(([name, old, now]): readonly ConfigChange[] => {
    if (isSame(old, now)) return [];
    const [was, is] = [shownSetting(name, old), shownSetting(name, now)];
    const text = was === undefined || is === undefined ? `${name} is another.` : `${name} is ${is} instead of ${was}.`;
    return [{ subject: "setting", name, change: "changed", text }];
  });
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? "none" : names.join(", ");
}
