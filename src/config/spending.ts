/** The section `spending`: whose money counts where, and what is charged for it. */
import { z } from "zod";
import type { UserBudget } from "../ledger/scope.ts";
import type { SpendingConfig } from "./gateway-config.ts";
import { flag, marginPercent, multiplier, text } from "./values.ts";

export const spending = z
  .strictObject({
    failover_price_max: multiplier.optional().meta({ title: "factor", description: "A further target is left out if the call is expected to cost more there than this times what it costs at the model's first one. Absent: no bound." }),
    charge_wasted: z
      .enum(["platform", "caller"], { error: "must be `platform` or `caller`" })
      .default("platform")
      .meta({ description: "Who bears attempts that cost something and were given up for another target. `platform`: they count under budgets of `global`, `provider` and `target` only; `caller`: under all of the caller's." }),
    user_budget: z
      .enum(["all", "personal_keys"], { error: "must be `all` or `personal_keys`" })
      .optional()
      .meta({ description: "Which of a user's keys a user's budget binds: `all`, or only those without a team. Absent: `all`, and in a LiteLLM file `personal_keys`." }),
    unpriced: z
      .enum(["refuse", "warn", "free"], { error: "must be `refuse`, `warn` or `free`" })
      .default("refuse")
      .meta({ description: "Calls to models without a price where a budget applies: `refuse` answers 400, `warn` lets them through at no cost and logs each model once, `free` does so silently." }),
    count_client_credentials: flag.prefault(false).meta({ title: "boolean", description: "Whether calls with the caller's own login count under budgets. They are shown as notional in any case." }),
    margin: marginPercent.optional().meta({ title: "per cent", description: "Added to what providers bill; the sum is charged, capped and shown. Absent: nothing." }),
    margins: z.record(text, marginPercent).default({}).meta({ title: "per cent", description: "The same for single teams, by their ids; they win over `margin`." }),
  })
  .prefault({});

/** @param userBudget of the file's format */
export function buildSpending(own: z.output<typeof spending>, userBudget: UserBudget): SpendingConfig {
  return {
    failoverPriceMaxPpm: own.failover_price_max,
    wastedPayer: own.charge_wasted,
    userBudget: own.user_budget ?? userBudget,
    unpriced: own.unpriced,
    countsClientCredentials: own.count_client_credentials,
    margin: { generalPpm: own.margin, byTeam: new Map(Object.entries(own.margins)) },
  };
}
