/**
 * `POST /api/v1/reconcile`: holds the ledger against a provider's own figures, which the caller has read from that provider's export,
 * and corrects what they prove by dated adjusting entries. The file itself stays with the caller, so that a long one is not parsed
 * where streams are passed.
 */
import { z } from "zod";
import type { AuditStore } from "../audit/audit-store.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { BilledQuery, Knowledge, ReconcileStore, UncertainAttempt } from "../ledger/reconcile-store.ts";
import type { Adjustment, LedgerRow, UsageStore } from "../ledger/usage-store.ts";
import { newId } from "../kernel/ids.ts";
import { formatUsd, nanoUsd, type NanoUsd } from "../kernel/money.ts";
import { addCounts, type TokenCounts } from "../kernel/usage.ts";
import { compareBill, type ComparedLine, type Correction, type Side } from "../reconcile/compare.ts";
import type { BillLine } from "../reconcile/provider-bill.ts";
import { dayOf } from "../reconcile/anthropic-values.ts";
import { fieldInvalid, parseFields } from "./fields.ts";
import type { AdminCall, AdminHandler } from "./handler.ts";

/** Days times models of one request: a year of ten models, and a bound on the answer. */
const linesMax = 4_000;
/** Attempts in doubt in one request; a narrower range takes the rest. */
const uncertainMax = 10_000;
const dayMs = 86_400_000;

const count = z.number().int("it must be a whole number").min(0).max(Number.MAX_SAFE_INTEGER).default(0);
const day = z.string().refine((text) => dayOf(text) === text, "it must be a day such as 2026-01-31");
const nano = z.string().regex(/^-?\d{1,18}$/, "it must be whole nano-USD").transform((text) => nanoUsd(BigInt(text)));
const line = z.strictObject({
  day,
  model: z.string().min(1).max(256),
  input_tokens: count,
  cache_read_tokens: count,
  cache_write_5m_tokens: count,
  cache_write_1h_tokens: count,
  output_tokens: count,
  web_searches: count,
  cost_nano_usd: nano.default(nanoUsd(0n)),
  rounding_nano_usd: nano.default(nanoUsd(0n)),
  entries: z.number().int().min(1).default(1),
});
const bodySchema = z.strictObject({
  provider: z.string().min(1).max(256),
  kind: z.enum(["usage", "cost"], "it must be usage or cost"),
  since: day,
  /** The last day, included. */
  until: day,
  lines: z.array(line, "it must be a list of lines").max(linesMax, `it must have at most ${linesMax} lines: take fewer days at a time`),
  apply: z.boolean().default(false),
  /** For the audit log: name and SHA-256 of the file. */
  file: z.string().max(256).default(""),
  file_sha256: z.string().regex(/^([0-9a-f]{64})?$/, "it must be 64 hexadecimal digits").default(""),
});

/** What a correction costs, by the prices of its target. */
export interface ReconcilePrice {
  readonly costNanoUsd: NanoUsd;
  readonly priceRow: string;
  /** False: there is no price, and nothing can be booked. */
  readonly isPriced: boolean;
}

/** What only the composition root knows of providers and prices. */
export interface ReconcilePrices {
  /** Names of providers whose exports can be read. */
  readonly providers: readonly string[];
  canonicalName(model: string): string;
  price(row: LedgerRow, usage: { readonly counts: TokenCounts; readonly webSearches: number }): ReconcilePrice;
  /** Nano-USD of searches, as they are in the cost of a model. */
  webSearchCost(provider: string, model: string, uses: number): bigint;
}

export interface ReconcileOptions {
  readonly store: ReconcileStore;
  readonly usage: Pick<UsageStore, "adjust">;
  readonly ledger: Pick<Ledger, "restore">;
  readonly audit: Pick<AuditStore, "append">;
  readonly prices: ReconcilePrices;
}

/** Without `apply` nothing changes. One reconciliation runs at a time, so that none corrects what another has just settled. */
export function createReconcileHandler(options: ReconcileOptions): AdminHandler {
  let last: Promise<unknown> = Promise.resolve();
  return (call) => {
    const body = parseFields(bodySchema, call.body);
    const turn = last.then(() => reconcile(options, body, call));
    last = turn.catch(() => undefined);
    return turn.then((report) => ({ status: 200, body: report }));
  };
}

type Body = z.output<typeof bodySchema>;

async function reconcile(options: ReconcileOptions, body: Body, call: AdminCall): Promise<Readonly<Record<string, unknown>>> {
  const { prices, store } = options;
  if (!prices.providers.includes(body.provider)) throw fieldInvalid(`provider: it must be one whose exports can be read: ${prices.providers.join(", ") || "this gateway has none"}.`);
  if (body.since > body.until) throw fieldInvalid("since: it must not be after until.");
  const query: BilledQuery = { provider: body.provider, sinceMs: Date.parse(body.since), untilMs: Date.parse(body.until) + dayMs };
  const [groups, uncertain] = [await store.billed(query), await store.uncertainRows(query, uncertainMax + 1)];
  if (uncertain.length > uncertainMax) throw fieldInvalid(`since: there are more than ${uncertainMax} estimated and unresolved attempts; take fewer days at a time.`);
  const compared = compareBill({
    kind: body.kind,
    bill: body.lines.filter((each) => each.day >= body.since && each.day <= body.until).map(billLineOf),
    groups,
    uncertain,
    canonicalName: (model) => prices.canonicalName(model),
    webSearchCost: (model, uses) => prices.webSearchCost(body.provider, model, uses),
    today: new Date(call.nowMs - settlingMs).toISOString().slice(0, 10),
  });
  const lines = compared.map((each) => ({ ...each, entries: each.corrections.map((correction) => entryOf(correction, each, { prices, body, nowMs: call.nowMs })) }));
  const entries = lines.flatMap((each) => each.entries);
  const isPriced = entries.every(({ adjustment }) => adjustment !== undefined);
  const isApplied = body.apply && entries.length > 0 && isPriced;
  if (isApplied) await apply(options, entries, { body, call });
  return {
    provider: body.provider,
    kind: body.kind,
    since: body.since,
    until: body.until,
    lines: lines.map(renderLine),
    agrees: lines.every(({ agrees, entries: own }) => agrees && own.length === 0),
    is_settled: lines.every(({ agrees, entries: own }) => (own.length === 0 ? agrees : isApplied)),
    corrections: { attempts: entries.length, delta_usd: usd(sumOf(entries)), is_applied: isApplied, ...(isPriced ? {} : { reason: "a model has no price" }) },
  };
}

/** The reports follow within minutes; an hour after midnight the day before is whole. */
const settlingMs = 3_600_000;

/** An adjusting entry with what it changes; undefined where there is no price. */
interface Entry {
  readonly attempt: UncertainAttempt;
  readonly adjustment: Adjustment | undefined;
}

function entryOf({ attempt, counts, webSearches, isOwn }: Correction, { day: ofDay }: ComparedLine, { prices, body, nowMs }: { readonly prices: ReconcilePrices; readonly body: Body; readonly nowMs: number }): Entry {
  const { row, entries } = attempt;
  const { costNanoUsd, priceRow, isPriced } = isOwn ? { costNanoUsd: attempt.own.costNanoUsd, priceRow: attempt.own.priceRow, isPriced: true } : prices.price(row, { counts, webSearches });
  if (!isPriced) return { attempt, adjustment: undefined };
  return {
    attempt,
    adjustment: {
      id: `adj_${row.attemptId.replace(/^att_/, "")}${entries === 0 ? "" : `_${entries}`}`,
      attemptId: row.attemptId,
      sequence: entries,
      atMs: nowMs,
      deltaNanoUsd: nanoUsd(costNanoUsd - row.costNanoUsd),
      deltaCounts: addCounts(counts, negated(row.counts)),
      deltaWebSearches: webSearches - attempt.webSearches,
      priceRow,
      reason: `reconciled with ${body.provider}'s figures of ${ofDay}`,
    },
  };
}

function negated({ input, cacheRead, cacheWrite5m, cacheWrite1h, output }: TokenCounts): TokenCounts {
  return { input: -input, cacheRead: -cacheRead, cacheWrite5m: -cacheWrite5m, cacheWrite1h: -cacheWrite1h, output: -output };
}

/**
 * First the record, then the entries: a death between the two leaves a record of what was wanted, and the next run does it. Budgets
 * follow at once, to what they would be made from at the next start.
 */
async function apply({ store, usage, ledger, audit }: ReconcileOptions, entries: readonly Entry[], { body, call }: { readonly body: Body; readonly call: AdminCall }): Promise<void> {
  const { nowMs, principal, sourceAddress } = call;
  const details = { since: body.since, until: body.until, file: body.file, fileSha256: body.file_sha256, attempts: entries.length, deltaUsd: usd(sumOf(entries)) };
  await audit.append([{ id: newId("aud", nowMs), atMs: nowMs, action: "usage.reconcile", actor: principal.keyId, object: body.provider, details, sourceAddress }]);
  const attemptIds = entries.map(({ attempt }) => attempt.row.attemptId);
  const before = await store.spentBy(attemptIds);
  await usage.adjust(entries.flatMap(({ adjustment }) => adjustment ?? []));
  const after = await store.spentBy(attemptIds);
  for (const spent of before) ledger.restore({ ...spent, amountNanoUsd: -spent.amountNanoUsd, strictNanoUsd: -(spent.strictNanoUsd ?? spent.amountNanoUsd) });
  for (const spent of after) ledger.restore(spent);
}

function billLineOf(wire: z.output<typeof line>): BillLine {
  return {
    day: wire.day,
    model: wire.model,
    counts: { input: wire.input_tokens, cacheRead: wire.cache_read_tokens, cacheWrite5m: wire.cache_write_5m_tokens, cacheWrite1h: wire.cache_write_1h_tokens, output: wire.output_tokens },
    webSearches: wire.web_searches,
    costNanoUsd: wire.cost_nano_usd,
    roundingNanoUsd: wire.rounding_nano_usd,
    entries: wire.entries,
  };
}

function renderLine({ day: ofDay, model, ledger, provider, difference, agrees, reasons, entries }: ComparedLine & { readonly entries: readonly Entry[] }): Readonly<Record<string, unknown>> {
  return {
    day: ofDay,
    model,
    ledger: {
      ...renderSide(ledger),
      attempts: ledger.attempts,
      estimated_attempts: ledger.estimatedAttempts,
      unresolved_attempts: ledger.unresolvedAttempts,
      adjusted_attempts: ledger.adjustedAttempts,
    },
    provider: renderSide(provider),
    difference: renderSide(difference),
    agrees,
    reasons,
    corrections: entries.map(({ attempt, adjustment }) => ({ attempt_id: attempt.row.attemptId, request_id: attempt.row.requestId, was: wasOf(attempt), delta_usd: adjustment === undefined ? null : usd(adjustment.deltaNanoUsd) })),
    delta_usd: usd(sumOf(entries)),
  };
}

function wasOf({ row, isSettled }: UncertainAttempt): Knowledge {
  if (isSettled) return "adjusted";
  return row.state === "unresolved" ? "unresolved" : "estimated";
}

function renderSide({ counts, webSearches, cost }: Side): Readonly<Record<string, unknown>> {
  return {
    input_tokens: counts.input,
    cache_read_tokens: counts.cacheRead,
    cache_write_5m_tokens: counts.cacheWrite5m,
    cache_write_1h_tokens: counts.cacheWrite1h,
    output_tokens: counts.output,
    web_searches: webSearches,
    cost_usd: usd(cost),
  };
}

function sumOf(entries: readonly Entry[]): bigint {
  return entries.reduce((sum, { adjustment }) => sum + (adjustment?.deltaNanoUsd ?? 0n), 0n);
}

function usd(amount: bigint): string {
  return formatUsd(nanoUsd(amount));
}
