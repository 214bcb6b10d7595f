/** Attempts as a plain list that forgets nothing, and what reports, budgets and reconciling must say of it. */
import { expect } from "vitest";
import { nanoUsd, type NanoUsd } from "../../src/kernel/money.ts";
import { zeroCounts } from "../../src/kernel/usage.ts";
import type { Spent } from "../../src/ledger/ledger.ts";
import type { CacheMiss, UsageDimension, UsageFilter, UsageGroup } from "../../src/ledger/usage-store.ts";
import type { AttemptClosing, AttemptOpening } from "../../src/pipeline/books.ts";
import type { Stores } from "../../src/store/stores.ts";
import { closingOf } from "./store-fixtures.ts";

const dayMs = 86_400_000;

interface Attempt {
  readonly opening: AttemptOpening;
  /** Undefined while it runs. */
  closing: AttemptClosing | undefined;
  entries: number;
  delta: bigint;
  deltaInput: number;
}

/** What a closing is made of. */
export interface ModelClosing {
  readonly source: AttemptClosing["source"];
  readonly costNanoUsd: NanoUsd;
  readonly servedModel: string;
  readonly payer: NonNullable<AttemptClosing["payer"]>;
  readonly chargeNanoUsd: NanoUsd | undefined;
  readonly isWasted: boolean;
  readonly isUnpriced: boolean;
  readonly isProvisional: boolean;
  readonly input: number;
  readonly output: number;
  readonly webSearches: number;
  readonly cacheMiss: CacheMiss | undefined;
}

export class UsageModel {
  readonly #attempts: Attempt[] = [];

  open(opening: AttemptOpening): void {
    this.#attempts.push({ opening, closing: undefined, entries: 0, delta: 0n, deltaInput: 0 });
  }

  /** Ends one that runs; undefined when none does. */
  close(pick: number, { input, output, webSearches, chargeNanoUsd, ...members }: ModelClosing): AttemptClosing | undefined {
    const running = this.#attempts.filter(({ closing }) => closing === undefined);
    const attempt = running[pick % Math.max(1, running.length)];
    if (attempt === undefined) return undefined;
    const serverToolUses: Record<string, number> = webSearches === 0 ? {} : { web_search_requests: webSearches };
    attempt.closing = closingOf(attempt.opening.attemptId, {
      ...members,
      ...(chargeNanoUsd === undefined ? {} : { chargeNanoUsd }),
      closedAtMs: attempt.opening.openedAtMs + 1_000,
      counts: { ...zeroCounts, input, output },
      serverToolUses,
    });
    return attempt.closing;
  }

  /** What runs has nobody who could close it any more. */
  restart(): void {
    for (const attempt of this.#attempts) {
      attempt.closing ??= closingOf(attempt.opening.attemptId, { source: "unresolved", costNanoUsd: nanoUsd(0n), counts: zeroCounts, servedModel: "", payer: attempt.opening.payer ?? "caller", isProvisional: false, cacheMiss: undefined });
    }
  }

  /** Of one whose row is there; those that are gone are corrected no more. */
  async adjust(stores: Stores, { pick, delta, input }: { readonly pick: number; readonly delta: bigint; readonly input: number }): Promise<void> {
    const there = new Set((await stores.usage.rows({ sinceMs: 0 }, 10_000)).map(({ attemptId }) => attemptId));
    const ended = this.#attempts.filter(({ opening, closing }) => closing !== undefined && there.has(opening.attemptId));
    const attempt = ended[pick % Math.max(1, ended.length)];
    if (attempt === undefined) return;
    const { attemptId } = attempt.opening;
    await stores.usage.adjust([{ id: `adj_${attemptId.slice(4)}_${attempt.entries}`, attemptId, sequence: attempt.entries, atMs: attempt.opening.openedAtMs, deltaNanoUsd: nanoUsd(delta), deltaCounts: { ...zeroCounts, input }, priceRow: "row-2", reason: "a test" }]);
    attempt.entries++;
    attempt.delta += delta;
    attempt.deltaInput += input;
  }

  async expectGroups(stores: Stores, dimension: UsageDimension, filter: UsageFilter): Promise<void> {
    const { sinceMs, untilMs, prunedBeforeMs } = await stores.usage.coverage(filter);
    const wanted = this.#attempts.filter(({ opening }) => opening.openedAtMs >= (sinceMs ?? 0) && opening.openedAtMs < (untilMs ?? Infinity) && matches(opening, filter));
    const found = await stores.usage.groupBy(dimension, filter);
    const isWhole = prunedBeforeMs === undefined || !["session", "agent", "path"].includes(dimension);
    // Names of sessions may be gone; what they stood for may not.
    if (isWhole) expect(found).toEqual(groupsOf(dimension, wanted));
    else expect(groupsOf("all", []).concat(allOf(found))).toEqual(groupsOf("all", wanted));
  }

  /** Everything since ever, by what a budget may ask for. */
  async expectSpent(stores: Stores): Promise<void> {
    const expected = new Map<string, bigint>();
    const strict = new Map<string, bigint>();
    for (const attempt of this.#attempts) {
      if (attempt.closing === undefined || attempt.closing.payer === "client") continue;
      const isUnknown = attempt.closing.source === "unresolved" && attempt.entries === 0;
      const { holdNanoUsd, strictHoldNanoUsd } = attempt.opening;
      const known = chargeOf(attempt);
      add(expected, keyOf(attempt), isUnknown ? holdNanoUsd : known);
      add(strict, keyOf(attempt), isUnknown ? (holdNanoUsd > strictHoldNanoUsd ? holdNanoUsd : strictHoldNanoUsd) : known);
    }
    const spent = (await stores.usage.spentSince(0, 60_000)).filter(({ spender }) => spender.payer !== "client");
    expect(sumsBy(spent, ({ amountNanoUsd }) => amountNanoUsd)).toEqual(withoutZeros(expected));
    expect(sumsBy(spent, ({ strictNanoUsd, amountNanoUsd }) => strictNanoUsd ?? amountNanoUsd)).toEqual(withoutZeros(strict));
  }

  async expectBills(stores: Stores): Promise<void> {
    for (const provider of ["anthropic", "bedrock"]) {
      const groups = await stores.reconcile.billed({ provider, sinceMs: 0, untilMs: Date.UTC(2100, 0, 1) });
      const own = this.#attempts.filter(({ opening, closing }) => closing !== undefined && opening.provider === provider && closing.source !== "none" && opening.isNotional !== true);
      const found = new Map<string, bigint>();
      for (const group of groups) {
        add(found, `${group.day} ${group.model} attempts`, BigInt(group.attempts));
        add(found, `${group.day} ${group.model} cost`, group.costNanoUsd);
        add(found, `${group.day} ${group.model} input`, BigInt(group.counts.input));
        add(found, `${group.day} ${group.model} searches`, BigInt(group.webSearches));
        if (group.knowledge === "adjusted") add(found, `${group.day} adjusted`, BigInt(group.attempts));
      }
      const expected = new Map<string, bigint>();
      for (const attempt of own) {
        const name = `${dayOf(attempt.opening.openedAtMs)} ${modelOf(attempt)}`;
        add(expected, `${name} attempts`, 1n);
        add(expected, `${name} cost`, attempt.closing!.costNanoUsd + attempt.delta);
        add(expected, `${name} input`, BigInt(attempt.closing!.counts.input + attempt.deltaInput));
        add(expected, `${name} searches`, BigInt(attempt.closing!.serverToolUses["web_search_requests"] ?? 0));
        if (attempt.entries > 0 && (attempt.closing!.source === "unresolved" || attempt.deltaInput !== 0)) add(expected, `${dayOf(attempt.opening.openedAtMs)} adjusted`, 1n);
      }
      expect(withoutZeros(found)).toEqual(withoutZeros(expected));
    }
  }
}

function add(sums: Map<string, bigint>, key: string, amount: bigint): void {
  sums.set(key, (sums.get(key) ?? 0n) + amount);
}

function withoutZeros(sums: ReadonlyMap<string, bigint>): ReadonlyMap<string, bigint> {
  return new Map([...sums].filter(([, amount]) => amount !== 0n).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function keyOf({ opening }: Attempt): string {
  return JSON.stringify([opening.keyId, opening.userId, opening.teamId, opening.organizationId, opening.project, opening.tags, opening.model, opening.provider, opening.targetId]);
}

function sumsBy(spent: readonly Spent[], amountOf: (each: Spent) => bigint): ReadonlyMap<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const each of spent) {
    const { keyId, userId, teamId, organizationId, project, tags, model, provider, targetId } = each.spender;
    add(sums, JSON.stringify([keyId, userId, teamId, organizationId, project, tags, model, provider, targetId]), amountOf(each));
  }
  return withoutZeros(sums);
}

function matches(opening: AttemptOpening, { keyId, userId, teamId }: UsageFilter): boolean {
  return (keyId === undefined || keyId === opening.keyId) && (userId === undefined || userId === opening.userId) && (teamId === undefined || teamId === opening.teamId);
}

function dayOf(ms: number): string {
  return new Date(Math.floor(ms / dayMs) * dayMs).toISOString().slice(0, 10);
}

function modelOf({ opening, closing }: Attempt): string {
  return closing === undefined || closing.servedModel === "" ? opening.upstreamModel : closing.servedModel;
}

function valueOf(attempt: Attempt, dimension: UsageDimension | "all"): string {
  const { opening } = attempt;
  const values: Readonly<Record<UsageDimension | "all", string | null>> = {
    key: opening.keyId,
    user: opening.userId,
    team: opening.teamId,
    project: opening.project,
    model: modelOf(attempt),
    provider: opening.provider,
    day: dayOf(opening.openedAtMs),
    session: opening.sessionId,
    agent: opening.agentId,
    tags: opening.tags.length === 0 ? null : JSON.stringify(opening.tags),
    path: JSON.stringify([opening.userId ?? opening.keyId, opening.sessionId ?? "", opening.agentId ?? ""]),
    all: "all",
  };
  return values[dimension] ?? "";
}

/** With its adjustments; 0 of what runs. These attempts have no margin, so that their charge changes by what their cost becomes. */
function chargeOf({ closing, delta, entries }: Attempt): bigint {
  if (closing === undefined) return 0n;
  const charge = closing.chargeNanoUsd ?? closing.costNanoUsd;
  return entries === 0 ? charge : closing.costNanoUsd + delta;
}

function groupsOf(dimension: UsageDimension | "all", attempts: readonly Attempt[]): readonly UsageGroup[] {
  const groups = [...Map.groupBy(attempts, (attempt) => valueOf(attempt, dimension))].map(([value, members]) => groupOf(value, members));
  return groups.toSorted((a, b) => (a.value < b.value ? -1 : 1));
}

function groupOf(value: string, attempts: readonly Attempt[]): UsageGroup {
  const sum = (of: (attempt: Attempt) => bigint): NanoUsd => nanoUsd(attempts.reduce((total, attempt) => total + of(attempt), 0n));
  const money = (of: (attempt: Attempt) => bigint): NanoUsd => sum((attempt) => (attempt.opening.isNotional === true ? 0n : of(attempt)));
  const count = (of: (attempt: Attempt) => number): number => attempts.reduce((total, attempt) => total + of(attempt), 0);
  const isUnknown = ({ closing, entries }: Attempt): boolean => closing?.source === "unresolved" && entries === 0;
  return {
    value,
    attempts: attempts.length,
    counts: { ...zeroCounts, input: count(({ closing, deltaInput }) => (closing?.counts.input ?? 0) + deltaInput), output: count(({ closing }) => closing?.counts.output ?? 0) },
    costNanoUsd: money(({ closing, delta }) => (closing?.costNanoUsd ?? 0n) + delta),
    chargeNanoUsd: money(chargeOf),
    wastedNanoUsd: money((attempt) => (attempt.closing?.isWasted === true ? chargeOf(attempt) : 0n)),
    notionalNanoUsd: sum(({ opening, closing, delta }) => (opening.isNotional === true ? (closing?.costNanoUsd ?? 0n) + delta : 0n)),
    reportedNanoUsd: money((attempt) => (attempt.closing?.source === "reported" ? chargeOf(attempt) : 0n)),
    estimatedNanoUsd: money((attempt) => (attempt.closing?.source === "estimated" ? chargeOf(attempt) : 0n)),
    adjustedNanoUsd: money((attempt) => (attempt.closing === undefined ? 0n : chargeOf(attempt) - (attempt.closing.chargeNanoUsd ?? attempt.closing.costNanoUsd))),
    unresolvedAttempts: count((attempt) => Number(isUnknown(attempt))),
    unresolvedNanoUsd: sum((attempt) => (isUnknown(attempt) ? attempt.opening.holdNanoUsd : 0n)),
    unpricedAttempts: count(({ closing }) => Number(closing?.isUnpriced === true)),
    cache: {
      expectedReadTokens: count(({ opening, closing }) => (closing?.source === "reported" ? (opening.expectedCacheReadTokens ?? 0) : 0)),
      lostReadTokens: count(({ closing }) => closing?.cacheMiss?.lostTokens ?? 0),
      misses: count(({ closing }) => Number(closing?.cacheMiss !== undefined)),
      moved: count(({ closing }) => Number(closing?.cacheMiss?.reason === "moved")),
      missNanoUsd: money(({ closing }) => closing?.cacheMiss?.costNanoUsd ?? 0n),
    },
  };
}

/** All groups as one. */
function allOf(groups: readonly UsageGroup[]): readonly UsageGroup[] {
  if (groups.length === 0) return [];
  const sum = (of: (group: UsageGroup) => bigint): NanoUsd => nanoUsd(groups.reduce((total, group) => total + of(group), 0n));
  const count = (of: (group: UsageGroup) => number): number => groups.reduce((total, group) => total + of(group), 0);
  return [
    {
      value: "all",
      attempts: count(({ attempts }) => attempts),
      counts: { ...zeroCounts, input: count(({ counts }) => counts.input), output: count(({ counts }) => counts.output) },
      costNanoUsd: sum((group) => group.costNanoUsd),
      chargeNanoUsd: sum((group) => group.chargeNanoUsd),
      wastedNanoUsd: sum((group) => group.wastedNanoUsd),
      notionalNanoUsd: sum((group) => group.notionalNanoUsd),
      reportedNanoUsd: sum((group) => group.reportedNanoUsd),
      estimatedNanoUsd: sum((group) => group.estimatedNanoUsd),
      adjustedNanoUsd: sum((group) => group.adjustedNanoUsd),
      unresolvedAttempts: count(({ unresolvedAttempts }) => unresolvedAttempts),
      unresolvedNanoUsd: sum((group) => group.unresolvedNanoUsd),
      unpricedAttempts: count(({ unpricedAttempts }) => unpricedAttempts),
      cache: {
        expectedReadTokens: count(({ cache }) => cache.expectedReadTokens),
        lostReadTokens: count(({ cache }) => cache.lostReadTokens),
        misses: count(({ cache }) => cache.misses),
        moved: count(({ cache }) => cache.moved),
        missNanoUsd: sum(({ cache }) => cache.missNanoUsd),
      },
    },
  ];
}
