/** LiteLLM's budget of the whole proxy, `litellm_settings.max_budget`, as a budget of ours. */
import { defaultOverrun, type Budget } from "../ledger/budget.ts";
import { parseWindow } from "../ledger/window-words.ts";
import { createFieldReader, member, type Field } from "./litellm-values.ts";
import type { LoadContext } from "./sections.ts";
import { parseDollarAmount } from "./values.ts";

/** @param library the section `litellm_settings` */
export function readProxyBudget(library: Field | undefined, context: LoadContext): readonly Budget[] {
  const { report } = context;
  const read = createFieldReader(context.env, report);
  const field = member(library, "max_budget");
  const text = read.text(field);
  if (field === undefined || text === undefined || text === "") return [];
  const amountNanoUsd = parseDollarAmount(text);
  if (amountNanoUsd === undefined) {
    report.fail(field.node.place, field.path, "must be US dollars, at least 0");
    return [];
  }
  const duration = member(library, "budget_duration");
  const zone = read.text(member(library, "timezone"));
  const resetTime = read.text(member(library, "budget_reset_time"));
  const words = read.text(duration);
  const parsed = parseWindow(words === undefined || words === "" ? "lifetime" : words, { ...(zone === undefined ? {} : { zone }), ...(resetTime === undefined ? {} : { resetTime }) });
  if ("fault" in parsed) {
    const place = duration ?? field;
    report.fail(place.node.place, place.path, parsed.fault);
    return [];
  }
  return [
    {
      id: "litellm_settings.max_budget",
      scope: "global",
      per: "pool",
      amountNanoUsd,
      window: parsed.window,
      mode: "incremental",
      onExhausted: "finish",
      overrunMaxNanoUsd: defaultOverrun(amountNanoUsd),
      downgradeModel: undefined,
      warnAtPercent: [75, 95],
      contact: undefined,
    },
  ];
}
