/** LiteLLM's budgets of the whole proxy, of an entry and of a provider, as budgets of ours. */
import { defaultOverrun, type Budget } from "../ledger/budget.ts";
import { parseWindow, type WindowDefaults } from "../ledger/window-words.ts";
import type { ProviderConfig } from "./gateway-config.ts";
import { litellmProviders } from "./litellm-providers.ts";
import { createFieldReader, member, type Field } from "./litellm-values.ts";
import type { LoadContext } from "./sections.ts";
import { parseDollarAmount } from "./values.ts";

interface WrittenBudget {
  readonly amount: Field | undefined;
  /** Absent or empty: for good. */
  readonly duration: Field | undefined;
  readonly words?: WindowDefaults;
  readonly id: string;
  readonly scope: Budget["scope"];
}

/** @returns none, or one */
export function readBudget({ amount: field, duration, words = {}, id, scope }: WrittenBudget, context: LoadContext): readonly Budget[] {
  const { report } = context;
  const read = createFieldReader(context.env, report);
  const text = read.text(field);
  if (field === undefined || text === undefined || text === "") return [];
  const amountNanoUsd = parseDollarAmount(text);
  if (amountNanoUsd === undefined) {
    report.fail(field.node.place, field.path, "must be US dollars, at least 0");
    return [];
  }
  const span = read.text(duration);
  const parsed = parseWindow(span === undefined || span === "" ? "lifetime" : span, words);
  if ("fault" in parsed) {
    const place = duration ?? field;
    report.fail(place.node.place, place.path, parsed.fault);
    return [];
  }
  return [{ id, scope, per: "pool", amountNanoUsd, window: parsed.window, mode: "incremental", onExhausted: "finish", overrunMaxNanoUsd: defaultOverrun(amountNanoUsd), downgradeModel: undefined, warnAtPercent: [75, 95], contact: undefined }];
}

/** @param library the section `litellm_settings` */
export function readProxyBudget(library: Field | undefined, context: LoadContext): readonly Budget[] {
  const read = createFieldReader(context.env, context.report);
  const zone = read.text(member(library, "timezone"));
  const resetTime = read.text(member(library, "budget_reset_time"));
  const words = { ...(zone === undefined ? {} : { zone }), ...(resetTime === undefined ? {} : { resetTime }) };
  return readBudget({ amount: member(library, "max_budget"), duration: member(library, "budget_duration"), words, id: "litellm_settings.max_budget", scope: "global" }, context);
}

/**
 * `router_settings.provider_budget_config`: by LiteLLM's name of a provider, `{budget_limit, time_period}`, also written
 * `{max_budget, budget_duration}`.
 */
export function readProviderBudgets(router: Field | undefined, providers: ReadonlyMap<string, ProviderConfig>, context: LoadContext): readonly Budget[] {
  const section = member(router, "provider_budget_config");
  if (section?.node.kind !== "map") return [];
  return [...section.node.entries.keys()].flatMap((prefix): readonly Budget[] => {
    const own = member(section, prefix)!;
    const kind = litellmProviders.find((provider) => provider.prefix === prefix)?.kind;
    const [name, ...others] = [...providers.values()].filter((provider) => provider.kind === kind).map((provider) => provider.name);
    if (name === undefined) {
      context.report.warn(own.node.place, own.path, `no entry of \`model_list\` is served by \`${prefix}\`, so this budget binds nothing`);
      return [];
    }
    if (others.length > 0) {
      context.report.fail(own.node.place, own.path, `\`${prefix}\` has ${others.length + 1} addresses or logins here, and a budget is of one: give the entries \`max_budget\`, or use \`tollgate.budgets\``);
      return [];
    }
    return readBudget({ amount: member(own, "budget_limit") ?? member(own, "max_budget"), duration: member(own, "time_period") ?? member(own, "budget_duration"), id: `provider ${name}`, scope: `provider:${name}` }, context);
  });
}
