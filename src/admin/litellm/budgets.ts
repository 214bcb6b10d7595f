/** LiteLLM's `/budget/*` calls over the terms that keys share: same paths, same shapes, so that its scripts and clients go on working. */
import { z } from "zod";
import type { KeyTerms } from "../../identity/key-terms.ts";
import { fieldInvalid, isEmptyValue, parseFields, queryObject } from "../fields.ts";
import type { AdminCall, AdminHandler, AdminReply } from "../handler.ts";
import type { KeyTermsService, TermsFields } from "../key-terms.ts";
import type { Author } from "../keys.ts";
import { litellmBudgetRow, resetAt } from "./budget-row.ts";
import { count, dollars, modelBudgets, name, withoutAbsent } from "./wire-values.ts";

const idsMax = 1_000;

/** The handlers of `/budget/*`, by what they do. */
export interface LitellmBudgetHandlers {
  readonly create: AdminHandler;
  readonly update: AdminHandler;
  readonly remove: AdminHandler;
  readonly info: AdminHandler;
  readonly list: AdminHandler;
  readonly settings: AdminHandler;
}

/** All are for admins; the route table sees to that. */
export function createLitellmBudgetHandlers(terms: KeyTermsService): LitellmBudgetHandlers {
  const row = (each: KeyTerms, { nowMs }: AdminCall): AdminReply => ok(litellmBudgetRow(each, nowMs));
  return {
    async create(call) {
      const { id, fields, resetAtText } = parseBudget(call.body);
      refuseOtherReset(resetAtText, fields.budgetDuration ?? null, call.nowMs);
      return row(await terms.create(id, fields, authorOf(call)), call);
    },
    async update(call) {
      const { id, fields, resetAtText } = parseBudget(call.body);
      if (id === undefined) throw fieldInvalid("budget_id: it is needed.");
      const duration = fields.budgetDuration === undefined ? (terms.book.get(id)?.budgetDuration ?? null) : fields.budgetDuration;
      refuseOtherReset(resetAtText, duration, call.nowMs);
      return row(await terms.update(id, fields, authorOf(call)), call);
    },
    async remove(call) {
      return row(await terms.remove(parseFields(deleteSchema, call.body ?? {}).id, authorOf(call)), call);
    },
    info(call) {
      const wanted = new Set(parseFields(infoSchema, call.body ?? {}).budgets);
      return Promise.resolve(ok(terms.book.all().filter(({ id }) => wanted.has(id)).map((each) => litellmBudgetRow(each, call.nowMs))));
    },
    list: (call) => Promise.resolve(ok(terms.book.all().map((each) => litellmBudgetRow(each, call.nowMs)))),
    settings(call) {
      const found = terms.book.get(parseFields(settingsSchema, queryObject(call.query)).budget_id);
      return Promise.resolve(ok(settingsOf(found === undefined ? {} : litellmBudgetRow(found, call.nowMs))));
    },
  };
}

/** Fields of LiteLLM's budgets that nothing here acts on (BerriAI/litellm, `BudgetNewRequest`, as of 1.104). */
export const unactedBudgetFields: readonly string[] = ["allowed_models", "tpd_limit"];

const budgetSchema = z.strictObject(
  {
    budget_id: name.nullish(),
    max_budget: dollars.nullish(),
    soft_budget: dollars.nullish(),
    model_max_budget: modelBudgets.nullish(),
    max_parallel_requests: count.nullish(),
    tpm_limit: count.nullish(),
    rpm_limit: count.nullish(),
    budget_duration: z.string("it must be a span such as 30d").nullish(),
    budget_reset_at: z.string("it must be a time").nullish(),
  },
  "it must be a JSON object",
);
const deleteSchema = z.strictObject({ id: name }, "it must be a JSON object");
const infoSchema = z.strictObject({ budgets: z.array(name, "it must be a list of names").min(1, "name at least one budget").max(idsMax, `it must have at most ${idsMax} entries`) }, "it must be a JSON object");
const settingsSchema = z.strictObject({ budget_id: name });

interface ParsedBudget {
  readonly id: string | undefined;
  readonly fields: TermsFields;
  readonly resetAtText: string | null | undefined;
}

/** @throws GatewayError `client_field_invalid`, also for a restriction that would not be kept */
function parseBudget(body: unknown): ParsedBudget {
  const entries = typeof body === "object" && body !== null && !Array.isArray(body) ? Object.entries(body) : undefined;
  for (const [field, value] of entries ?? []) {
    if (unactedBudgetFields.includes(field) && !isEmptyValue(value)) throw fieldInvalid(`${field}: it is not enforced by this build, so a value for it is not accepted.`);
  }
  const wire = parseFields(budgetSchema, entries === undefined ? (body ?? {}) : Object.fromEntries(entries.filter(([field]) => !unactedBudgetFields.includes(field))));
  const fields = withoutAbsent({
    maxBudgetUsd: wire.max_budget,
    softBudgetUsd: wire.soft_budget,
    budgetDuration: wire.budget_duration,
    modelBudgets: wire.model_max_budget === null ? {} : wire.model_max_budget,
    rpmLimit: wire.rpm_limit,
    tpmLimit: wire.tpm_limit,
    maxParallelRequests: wire.max_parallel_requests,
  });
  return { id: wire.budget_id ?? undefined, fields, resetAtText: wire.budget_reset_at };
}

/** Clients that write back what they have read send the time that follows from the duration; another one would not be kept. */
function refuseOtherReset(text: string | null | undefined, duration: string | null, nowMs: number): void {
  if (text === undefined || text === null || text === "") return;
  const follows = resetAt(duration, nowMs);
  if (follows === null || Date.parse(text) !== Date.parse(follows)) throw fieldInvalid(`budget_reset_at: it follows from budget_duration, and is ${follows ?? "never"}; leave it out.`);
}

const settingTypes = {
  max_budget: ["Float", "US dollars a window, of each key; beyond it calls are refused."],
  soft_budget: ["Float", "US dollars a window, of each key, at which the operator is told; nothing is refused."],
  max_parallel_requests: ["Integer", "Requests at once, of each key."],
  tpm_limit: ["Integer", "Tokens a minute, of each key."],
  rpm_limit: ["Integer", "Requests a minute, of each key."],
  budget_duration: ["String", "The window, such as 1d, 30d or 1mo; without it, for good."],
} as const;

/** LiteLLM's `ConfigList`: what can be set, with the present values; null where there is no such budget. */
function settingsOf(row: Readonly<Record<string, unknown>>): readonly unknown[] {
  return Object.entries(settingTypes).map(([field, [type, description]]) => ({
    field_name: field,
    field_type: type,
    field_description: description,
    field_value: row[field] ?? null,
    stored_in_db: true,
    field_default_value: null,
  }));
}

function authorOf({ principal, sourceAddress }: AdminCall): Author {
  return { actor: principal.keyId, sourceAddress };
}

function ok(body: unknown): AdminReply {
  return { status: 200, body };
}
