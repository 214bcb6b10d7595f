/** The `budgets` of the operator's file: what an entry may say, and the budget it becomes. */
import { z } from "zod";
import { defaultOverrun, type Budget } from "../ledger/budget.ts";
import { kindOf, scopeKinds, type Scope } from "../ledger/scope.ts";
import { parseWindow } from "../ledger/window-words.ts";
import { nanoUsd } from "../kernel/money.ts";
import { dollarAmount, integer, outageDuration, outageShare, text } from "./values.ts";

/** Kinds whose ids join two. */
const pairKinds: ReadonlySet<string> = new Set(["team_user", "key_model", "team_model"]);
/** Kinds that have users in them. */
const groupKinds: readonly string[] = ["global", "organization", "team"];

/** A scope, or with `*` each one of a kind. */
export const scopeText = text.superRefine((value, context) => {
  const fault = scopeFault(value) ?? (isHalfOpen(value) ? "is too open: `*` stands for both parts, as in `team_model:*`" : undefined);
  if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
});

/** The same, or with `*` in place of either part each one of a kind that joins two. */
export const patternText = text.superRefine((value, context) => {
  const fault = scopeFault(value);
  if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
});

function isHalfOpen(value: string): boolean {
  return pairKinds.has(kindOf(value as Scope)) && /:\*\/|\/\*$/.test(value);
}

/** One entry, as a file or an operator at the API writes it. */
export const budgetEntry = z
  .strictObject({
    id: text.optional().meta({ description: "Name of this budget, under which its spend is kept. Absent: made from scope, `per` and window." }),
    scope: scopeText.meta({ description: `\`global\`, or \`kind:id\`, with \`*\` for each one of a kind. Kinds: ${scopeKinds.filter((kind) => kind !== "global").map((kind) => `\`${kind}\``).join(", ")}; \`team_user\` is \`team/user\`, \`key_model\` \`key/model\`, \`team_model\` \`team/model\`.` }),
    per: z.enum(["pool", "member"], { error: "must be `pool` or `member`" }).default("pool").meta({ description: "`pool`: the scope shares it. `member`: each user in it has its own, unless a nearer one is set." }),
    amount: dollarAmount.meta({ description: "US dollars a window. `0` lets nothing through." }),
    window: text.optional().meta({ description: "`day`, `week` (from Monday), `month`, `lifetime`, or a duration in LiteLLM's words (`1d`, `7d`, `30d`, `12h`). Absent: `month`." }),
    rolling: text.optional().meta({ description: "In place of `window`: a window that slides, such as `7d`." }),
    zone: text.optional().meta({ description: "Time zone of the window, an IANA name. Absent: UTC." }),
    mode: z
      .enum(["incremental", "strict"], { error: "must be `incremental` or `strict`" })
      .default("incremental")
      .meta({ description: "`strict` holds the most a call can cost before it starts; `incremental` what it is expected to cost, and more as it grows." }),
    on_exhausted: z
      .enum(["finish", "cut"], { error: "must be `finish` or `cut`" })
      .default("finish")
      .meta({ description: "Running replies when nothing is left: `finish` lets them end within `overrun_max`, `cut` ends them at once." }),
    overrun_max: dollarAmount.optional().meta({ description: "US dollars that running replies may take beyond the amount, all together. Absent: the larger of 2 % and 0.50; with `strict` or `cut` always 0." }),
    downgrade: text.optional().meta({ description: "Model that is served instead when nothing is left." }),
    warn_at: z.array(integer(1, 100), { error: "must be a list of per cents" }).default([75, 95]).meta({ description: "Per cent of the amount at which a warning is due." }),
    contact: text.optional().meta({ description: "Whom to ask, told with the refusal." }),
    fail_open: z
      .strictObject({
        share: outageShare.prefault(2).meta({ title: "per cent", description: "Per cent of the amount, for each outage; at most 2." }),
        for: outageDuration.prefault("10m").meta({ title: "duration", description: "How long, from the beginning of the outage; at most `10m`." }),
      })
      .optional()
      .meta({ description: "Lets calls go on while the store cannot be written, if every budget that binds them has this; their entries wait in the file of `store.spill`. Absent: they are refused." }),
  })
  .transform((own, context): Budget => {
    const words = own.rolling === undefined ? { window: own.window ?? "month" } : { rolling: own.rolling, ...(own.window === undefined ? {} : { window: own.window }) };
    const parsed = parseWindow({ ...words, ...(own.zone === undefined ? {} : { zone: own.zone }) });
    if ("fault" in parsed) {
      context.addIssue({ code: "custom", message: parsed.fault, path: [own.rolling === undefined ? "window" : "rolling"] });
      return z.NEVER;
    }
    if (own.per === "member" && !groupKinds.includes(kindOf(own.scope as Scope))) context.addIssue({ code: "custom", message: "is for `global`, an organization or a team, which have users in them", path: ["per"] });
    const mayOverrun = own.mode === "incremental" && own.on_exhausted === "finish";
    if (!mayOverrun && own.overrun_max !== undefined && own.overrun_max > 0n) context.addIssue({ code: "custom", message: "is always 0 with `strict` and `cut`", path: ["overrun_max"] });
    return {
      id: own.id ?? `${own.scope} ${own.per} ${parsed.window.key}`,
      scope: own.scope as Budget["scope"],
      per: own.per,
      amountNanoUsd: own.amount,
      window: parsed.window,
      mode: own.mode,
      onExhausted: own.on_exhausted,
      overrunMaxNanoUsd: mayOverrun ? (own.overrun_max ?? defaultOverrun(own.amount)) : nanoUsd(0n),
      downgradeModel: own.downgrade,
      warnAtPercent: own.warn_at.toSorted((a, b) => a - b),
      contact: own.contact,
      ...(own.fail_open === undefined ? {} : { failOpen: { sharePpm: own.fail_open.share, forMs: own.fail_open.for } }),
    };
  });

/** The whole list. */
export const budgets = z.array(budgetEntry, { error: "must be a list" }).superRefine((list, context) => {
  const seen = new Set<string>();
  for (const [index, { id }] of list.entries()) {
    if (seen.has(id)) context.addIssue({ code: "custom", message: "repeats an earlier budget; give it an `id` of its own if both are meant", path: [index] });
    seen.add(id);
  }
});

function scopeFault(value: string): string | undefined {
  if (value === "global") return undefined;
  const colon = value.indexOf(":");
  const kind = value.slice(0, Math.max(0, colon));
  if (!(scopeKinds as readonly string[]).includes(kind) || kind === "global") return `must be \`global\` or begin with one of ${scopeKinds.filter((each) => each !== "global").map((each) => `\`${each}:\``).join(", ")}`;
  const id = value.slice(colon + 1);
  if (id === "" || id !== id.trim()) return "names nothing behind its colon";
  if (id !== "*" && !pairKinds.has(kind) && id.includes("*")) return "has a `*` within a name, which stands for whole names only";
  if (pairKinds.has(kind) && id !== "*" && !/^[^/]+\/.+$/.test(id)) return `must name two, as in \`${kind}:${kind === "key_model" ? "key_01/claude-opus-5-5" : kind === "team_model" ? "payments/claude-opus-5-5" : "payments/ann"}\``;
  return undefined;
}
