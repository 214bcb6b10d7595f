/**
 * Holds the ledger against a provider's bill, day by day and model by model, and names every difference. Pure: it says which attempts
 * would have to be corrected to what, and corrects nothing.
 */
import type { BilledGroup, UncertainAttempt } from "../ledger/reconcile-store.ts";
import type { LedgerRow } from "../ledger/usage-store.ts";
import { addCounts, zeroCounts, type TokenCounts } from "../kernel/usage.ts";
import { webSearchModel, type BillKind, type BillLine } from "./provider-bill.ts";
import { isZero, minus, plus, split, type Amounts } from "./amounts.ts";
import { reasonsFor, type Reason } from "./reasons.ts";

/** What one side has of a day and model. */
export interface Side {
  readonly counts: TokenCounts;
  readonly webSearches: number;
  /** Nano-USD; 0 for the provider in a file of usage. */
  readonly cost: bigint;
}

/** What the ledger has of a day and model. */
export interface LedgerSide extends Side {
  readonly attempts: number;
  readonly estimatedAttempts: number;
  readonly unresolvedAttempts: number;
  readonly adjustedAttempts: number;
  /** Attempts that ended on a later day than they began. */
  readonly overMidnight: number;
}

/** What an attempt used by the provider's figures. */
export interface Correction {
  readonly attempt: UncertainAttempt;
  readonly counts: TokenCounts;
  readonly webSearches: number;
  /** The attempt's own figures were right, and earlier entries that changed them were not. */
  readonly isOwn: boolean;
}

/** One day and model, held against each other. */
export interface ComparedLine {
  /** UTC. */
  readonly day: string;
  readonly model: string;
  readonly ledger: LedgerSide;
  readonly provider: Side;
  /** The provider's figures less the ledger's, where they are in the file. */
  readonly difference: Side;
  /** Equal, as far as the file's rounding tells. */
  readonly agrees: boolean;
  /** Why they differ, or may; empty where all is clear. */
  readonly reasons: readonly Reason[];
  /** Attempts that the difference settles; empty where it proves nothing about them. */
  readonly corrections: readonly Correction[];
}

export interface CompareInput {
  readonly kind: BillKind;
  readonly bill: readonly BillLine[];
  readonly groups: readonly BilledGroup[];
  /** All attempts of the groups that ended with an estimate or nothing known, settled since or not. */
  readonly uncertain: readonly UncertainAttempt[];
  /** The name that all spellings of a model share. */
  readonly canonicalName: (model: string) => string;
  /** Nano-USD that the ledger's cost of a model has in it for searches of the web. */
  readonly webSearchCost: (model: string, uses: number) => bigint;
  /** UTC; days from here on are not over, and prove nothing. */
  readonly today: string;
}

/** Lines in the order of days, then models; days and models that neither side has are absent. */
export function compareBill(input: CompareInput): readonly ComparedLine[] {
  const cells = cellsOf(input);
  return [...cells.values()].toSorted((a, b) => (`${a.day} ${a.model}` < `${b.day} ${b.model}` ? -1 : 1)).map((cell) => lineOf(cell, input, cells));
}

/** Both sides of a day and model, before they are judged. */
export interface Cell {
  readonly day: string;
  readonly model: string;
  /** Reported, or settled by an earlier entry. */
  known: Side;
  estimated: Side;
  provider: Side;
  /** Lines of the file; 0 where it has none. */
  entries: number;
  rounding: bigint;
  attempts: number;
  estimatedAttempts: number;
  unresolvedAttempts: number;
  adjustedAttempts: number;
  overMidnight: number;
  readonly uncertain: UncertainAttempt[];
}

const nothing: Side = { counts: zeroCounts, webSearches: 0, cost: 0n };

function cellsOf({ kind, bill, groups, uncertain, canonicalName, webSearchCost }: CompareInput): Map<string, Cell> {
  const cells = new Map<string, Cell>();
  const at = (day: string, model: string): Cell => {
    const id = `${day} ${model}`;
    let cell = cells.get(id);
    if (cell === undefined) {
      cell = { day, model, known: nothing, estimated: nothing, provider: nothing, entries: 0, rounding: 0n, attempts: 0, estimatedAttempts: 0, unresolvedAttempts: 0, adjustedAttempts: 0, overMidnight: 0, uncertain: [] };
      cells.set(id, cell);
    }
    return cell;
  };
  for (const line of bill) {
    const cell = at(line.day, canonicalName(line.model));
    cell.provider = sum(cell.provider, { counts: line.counts, webSearches: line.webSearches, cost: line.costNanoUsd });
    cell.entries += line.entries;
    cell.rounding += line.roundingNanoUsd;
  }
  for (const group of groups) {
    const cell = at(group.day, canonicalName(group.model));
    const searchCost = kind === "cost" && group.webSearches > 0 ? webSearchCost(group.model, group.webSearches) : 0n;
    addGroup(cell, group, searchCost);
    // A file of costs lists searches by themselves.
    if (searchCost > 0n) at(group.day, webSearchModel).known = sum(at(group.day, webSearchModel).known, { ...nothing, cost: searchCost });
  }
  for (const attempt of uncertain) at(dayOfRow(attempt.row), canonicalName(attempt.row.servedModel === "" ? attempt.row.upstreamModel : attempt.row.servedModel)).uncertain.push(attempt);
  return cells;
}

function addGroup(cell: Cell, { knowledge, attempts, overMidnight, counts, webSearches, costNanoUsd }: BilledGroup, searchCost: bigint): void {
  const side: Side = { counts, webSearches, cost: costNanoUsd - searchCost };
  cell.attempts += attempts;
  cell.overMidnight += overMidnight;
  if (knowledge === "unresolved") cell.unresolvedAttempts += attempts;
  else if (knowledge === "estimated") {
    cell.estimated = sum(cell.estimated, side);
    cell.estimatedAttempts += attempts;
  } else {
    cell.known = sum(cell.known, side);
    if (knowledge === "adjusted") cell.adjustedAttempts += attempts;
  }
}

function lineOf(cell: Cell, { kind, today }: CompareInput, cells: ReadonlyMap<string, Cell>): ComparedLine {
  const ledger = sum(cell.known, cell.estimated);
  const tolerance = toleranceOf(cell, kind);
  const difference = minus(amountsOf(cell.provider, kind), amountsOf(ledger, kind));
  const agrees = isZero(difference, tolerance);
  const isOver = cell.day < today;
  // Money differs by price as well as by use, so only a file of usage proves anything about an attempt.
  const found = isOver && kind === "usage" ? correctionsOf(cell) : { corrections: [], isImplausible: false };
  return {
    day: cell.day,
    model: cell.model,
    ledger: {
      ...ledger,
      attempts: cell.attempts,
      estimatedAttempts: cell.estimatedAttempts,
      unresolvedAttempts: cell.unresolvedAttempts,
      adjustedAttempts: cell.adjustedAttempts,
      overMidnight: cell.overMidnight,
    },
    provider: cell.provider,
    difference: sideOf(difference, kind),
    agrees,
    reasons: reasonsFor({ cell, kind, difference, agrees, isOver, neighbours: neighboursOf(cell, cells), corrected: found.corrections.length, isImplausible: found.isImplausible }),
    corrections: found.corrections,
  };
}

/**
 * What is left when all that was reported is taken off the provider's figures was used by attempts that are not sure: by the
 * unresolved alone where the estimates fit beside it, else by all of them. Less than nothing proves nothing.
 *
 * Attempts that an earlier file settled are as unsure as they were, and are judged by what the gateway itself knew of them: after a
 * corrected file the ledger is what it would be had that file been the first.
 */
function correctionsOf({ uncertain, known, estimated, provider }: Cell): { readonly corrections: readonly Correction[]; readonly isImplausible: boolean } {
  const none = { corrections: [], isImplausible: false };
  const unresolved = uncertain.filter(({ row }) => row.state === "unresolved");
  const estimates = uncertain.filter(({ row }) => row.state !== "unresolved");
  const certain = minus(amountsOf(sum(known, estimated), "usage"), totalOf(uncertain.map(currentOf)));
  const left = minus(amountsOf(provider, "usage"), certain);
  const beside = minus(left, totalOf(estimates.map(ownOf)));
  const isOwnRight = unresolved.length > 0 ? beside.every((amount) => amount >= 0n) : isZero(beside, 0n);
  const [sharers, total] = isOwnRight ? [unresolved, beside] : [uncertain, left];
  if (uncertain.length === 0 || total.some((amount) => amount < 0n)) return none;
  // A token stands for at least a byte of the request; more than that came from elsewhere.
  if (total.slice(0, 4).reduce((all, tokens) => all + tokens, 0n) > sharers.reduce((bytes, { row }) => bytes + BigInt(row.requestBytes), 0n)) return { corrections: [], isImplausible: true };
  const shares = total.map((amount) => split(amount, sharers.map(({ row, own }) => (row.state === "unresolved" ? row.holdNanoUsd : own.costNanoUsd))));
  const shared = sharers.map((attempt, index) => correctionTo(attempt, shares.map((share) => share[index]!)));
  const restored = isOwnRight ? estimates.map((attempt) => correctionTo(attempt, ownOf(attempt))) : [];
  return { corrections: [...shared, ...restored].filter(isNew), isImplausible: false };
}

function correctionTo(attempt: UncertainAttempt, amounts: Amounts): Correction {
  const { counts, webSearches } = sideOf(amounts, "usage");
  return { attempt, counts, webSearches, isOwn: attempt.row.state !== "unresolved" && isZero(minus(amounts, ownOf(attempt)), 0n) };
}

/** False where nothing changes: the ledger has these figures, and knows that they are the attempt's. */
function isNew({ attempt, counts, webSearches }: Correction): boolean {
  const isOpen = attempt.row.state === "unresolved" && !attempt.isSettled;
  return isOpen || !isZero(minus(amountsOf({ counts, webSearches, cost: 0n }, "usage"), currentOf(attempt)), 0n);
}

function currentOf({ row, webSearches }: UncertainAttempt): Amounts {
  return amountsOf({ counts: row.counts, webSearches, cost: 0n }, "usage");
}

function ownOf({ own }: UncertainAttempt): Amounts {
  return amountsOf({ ...own, cost: 0n }, "usage");
}

function totalOf(each: readonly Amounts[]): Amounts {
  return each.reduce(plus, amountsOf(nothing, "usage"));
}

/** Differences of the same model on the day before and after, the provider's less the ledger's. */
function neighboursOf({ day, model }: Cell, cells: ReadonlyMap<string, Cell>): readonly Cell[] {
  const dayMs = 86_400_000;
  return [-dayMs, dayMs].flatMap((stepMs) => cells.get(`${new Date(Date.parse(day) + stepMs).toISOString().slice(0, 10)} ${model}`) ?? []);
}

/** Costs are rounded up once an attempt here, and as the file has it there. */
function toleranceOf({ rounding, attempts }: Cell, kind: BillKind): bigint {
  return kind === "cost" ? rounding + BigInt(attempts) : 0n;
}

/** What a file of this kind can say, as numbers that can be taken off each other. */
export function amountsOf({ counts, webSearches, cost }: Side, kind: BillKind): Amounts {
  if (kind === "cost") return [cost];
  return [counts.input, counts.cacheRead, counts.cacheWrite5m, counts.cacheWrite1h, counts.output, webSearches].map(BigInt);
}

function sideOf(amounts: Amounts, kind: BillKind): Side {
  if (kind === "cost") return { ...nothing, cost: amounts[0]! };
  const [input = 0, cacheRead = 0, cacheWrite5m = 0, cacheWrite1h = 0, output = 0, webSearches = 0] = amounts.map(Number);
  return { counts: { input, cacheRead, cacheWrite5m, cacheWrite1h, output }, webSearches, cost: 0n };
}

function sum(a: Side, b: Side): Side {
  return { counts: addCounts(a.counts, b.counts), webSearches: a.webSearches + b.webSearches, cost: plus([a.cost], [b.cost])[0]! };
}

function dayOfRow({ openedAtMs }: LedgerRow): string {
  return new Date(openedAtMs).toISOString().slice(0, 10);
}
