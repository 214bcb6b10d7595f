/**
 * Budgets that operators set while the gateway runs: checked by the same words as the file's, kept in the store, in force for the next
 * call, and for those that run. A scope has its budgets from one place: from the file, from a key's own fields, or from here.
 */
import { z } from "zod";
import { budgetEntry } from "../config/budgets.ts";
import type { AuditAction, AuditRecord } from "../audit/record.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { newId } from "../kernel/ids.ts";
import type { Budget } from "../ledger/budget.ts";
import type { BudgetStore, StoredBudget } from "../ledger/budget-store.ts";
import { idOf, kindOf, type Scope } from "../ledger/scope.ts";
import { fieldInvalid, parseFields } from "./fields.ts";
import type { AdminCall, AdminHandler } from "./handler.ts";

const budgetsMax = 10_000;
const idLengthMax = 256;

/** What the handlers work on. */
export interface ManagedBudgetsOptions {
  readonly store: BudgetStore;
  /** Of the configuration, whose scopes are closed here. */
  readonly configured: () => readonly Budget[];
  /** The configuration's file, told where a budget has to be changed there. */
  readonly configPath: string;
  /** Puts a scope's budgets in force; durable already. */
  readonly apply: (scope: Scope, budgets: readonly Budget[]) => Promise<void>;
  /** Why a budget cannot be served, such as a downgrade to a model that does not exist; undefined when nothing speaks against it. */
  readonly faultOf?: (budget: Budget) => string | undefined;
}

export interface ManagedBudgets {
  /** `POST /api/v1/budgets`: sets one, by its id or by the one its scope and window make. */
  readonly set: AdminHandler;
  /** `POST /api/v1/budgets/delete` with `{id}`. */
  readonly remove: AdminHandler;
  /** `GET /api/v1/budgets/definitions`: those that were set here, as written. */
  readonly definitions: AdminHandler;
  /**
   * Lets the configuration's budgets change while none is changed here.
   *
   * @param apply is given the scopes that have budgets from here, each with those in force beside the new ones; `configured` gives the new
   *   ones when it has resolved
   */
  configure(configured: readonly Budget[], apply: (own: ReadonlyMap<Scope, readonly Budget[]>) => Promise<void>): Promise<void>;
}

const deleteSchema = z.strictObject({ id: z.string("it must be a text").min(1, "it must not be empty").max(idLengthMax) }, "it must be a JSON object");

/** @throws GatewayError `client_field_invalid` for an entry that an earlier version took and this one does not */
export function budgetOf({ definition }: Pick<StoredBudget, "definition">): Budget {
  return parseFields(budgetEntry, definition);
}

/** Whether the configuration has a budget for the scope, or with the id, of one that was set here: then that one counts, and this one rests. */
export function isOverruled({ id, scope }: Pick<Budget, "id" | "scope"> | StoredBudget, configured: readonly Budget[]): boolean {
  return configured.some((each) => each.id === id || (each.scope === scope && each.per === "pool"));
}

export function createManagedBudgets(options: ManagedBudgetsOptions, stored: readonly StoredBudget[]): ManagedBudgets {
  const { store, apply } = options;
  const known = new Map(stored.map((each) => [each.id, each]));
  const inForce = (scope: string, configured = options.configured()): readonly Budget[] => [...known.values()].filter((each) => each.scope === scope && !isOverruled(each, configured)).map(budgetOf);
  /** One change at a time: two at once could each put half of the other's in force. */
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <Result>(action: () => Promise<Result>): Promise<Result> => {
    const result = last.then(action);
    last = result.catch(() => undefined);
    return result;
  };

  return {
    set: (call) =>
      inTurn(async () => {
        const budget = parseFields(budgetEntry, call.body ?? {});
        refuseWhatIsElsewhere(budget, options);
        const before = known.get(budget.id);
        if (before !== undefined && before.scope !== budget.scope) throw new GatewayError("client_object_conflict", { publicText: `A budget with this id is there for ${before.scope}; remove it first, or choose another id.` });
        if (before === undefined && known.size >= budgetsMax) throw fieldInvalid(`id: there are ${budgetsMax} budgets already.`);
        const definition = { ...(call.body as Record<string, unknown>), id: budget.id };
        const entry: StoredBudget = { id: budget.id, scope: budget.scope, definition, createdAtMs: before?.createdAtMs ?? call.nowMs, updatedAtMs: call.nowMs };
        await store.put(entry, auditOf("budget.set", call, budget.id, { ...(before === undefined ? {} : { before: before.definition }), after: definition }));
        known.set(budget.id, entry);
        await apply(budget.scope as Scope, inForce(budget.scope));
        return { status: 200, body: shown(entry) };
      }),
    remove: (call) =>
      inTurn(async () => {
        const { id } = parseFields(deleteSchema, call.body ?? {});
        const before = known.get(id);
        if (before === undefined) throw new GatewayError("client_object_missing", { publicText: "No budget with this id was set here. Those of the configuration file end there, those of keys with `max_budget: null`." });
        await store.remove(id, auditOf("budget.delete", call, id, { before: before.definition }));
        known.delete(id);
        await apply(before.scope as Scope, inForce(before.scope));
        return { status: 200, body: { deleted: id } };
      }),
    configure: (configured, takeOver) => inTurn(() => takeOver(new Map([...known.values()].map(({ scope }) => [scope as Scope, inForce(scope, configured)] as const)))),
    definitions: () => Promise.resolve({ status: 200, body: { budgets: [...known.values()].map(shown) } }),
  };
}

function refuseWhatIsElsewhere(budget: Budget, { configured, configPath, faultOf }: ManagedBudgetsOptions): void {
  const { scope, per, id } = budget;
  if (id.length > idLengthMax) throw fieldInvalid(`id: it must have at most ${idLengthMax} characters.`);
  if (idOf(scope as Scope) === "*" || per === "member") throw fieldInvalid("scope: budgets for each one of a kind, and `per: member`, are set in the configuration file.");
  if (kindOf(scope as Scope) === "key") throw fieldInvalid("scope: a key's budget is `max_budget` of the key itself: `tollgate keys` or POST /key/update.");
  if (kindOf(scope as Scope) === "key_model") throw fieldInvalid("scope: a key's budget for a model is in `model_max_budget` of the key itself: POST /key/update.");
  if (isOverruled(budget, configured())) throw new GatewayError("client_object_conflict", { publicText: `The configuration file ${configPath} has a budget for this scope, or with this id; change it there.` });
  const fault = faultOf?.(budget);
  if (fault !== undefined) throw fieldInvalid(fault);
}

function shown({ definition, createdAtMs, updatedAtMs }: StoredBudget): Readonly<Record<string, unknown>> {
  return { ...definition, created_at: new Date(createdAtMs).toISOString(), updated_at: new Date(updatedAtMs).toISOString() };
}

function auditOf(action: AuditAction, { nowMs, principal, sourceAddress }: AdminCall, object: string, details: AuditRecord["details"]): AuditRecord {
  return { id: newId("aud", nowMs), atMs: nowMs, action, actor: principal.keyId, object, details, sourceAddress };
}
