/**
 * The windows of budgets as pure functions of time: which window an instant lies in, what it is called in the ledger, and
 * when it ends. Nothing here resets a counter or reads a clock; a clock that jumps back finds the earlier window again.
 */
import { assert } from "../kernel/assert.ts";
import { firstInstantOf, latestWallAt, type Zone } from "./zone.ts";

const dayMs = 86_400_000;
/** 1970-01-05, a Monday: the day from which windows of several days are counted unless their budget says another. */
export const mondayDayNumber = 4;
/** Instants from here on are refused; four digits of a year are in every id. */
const timeMaxMs = Date.UTC(9_000, 0, 1);

/** How a window repeats. Times of day are milliseconds after the wall's midnight, 0 to 86,399,999. */
export type WindowRule =
  | { readonly kind: "lifetime" }
  /** From the first of a month to the first of the next. */
  | { readonly kind: "month"; readonly resetTimeMs: number }
  /** Every `days` ≥ 1 days, on days whose number is `phaseDays` (0 to `days` − 1) modulo `days`. A week is 7 from a Monday. */
  | { readonly kind: "days"; readonly days: number; readonly phaseDays: number; readonly resetTimeMs: number }
  /** At the same marks of each minute, hour or day of the wall's clock; ascending, at least one, each < `periodMs`. */
  | { readonly kind: "clock"; readonly name: string; readonly periodMs: number; readonly marksMs: readonly number[] }
  /**
   * Slides. Amounts are kept in buckets of `stepMs`, which start at multiples of it since the epoch. At any time the
   * current bucket counts and the `steps` before it, so between `lengthMs` and two steps more: a cap on the buckets is a
   * cap on every interval of `lengthMs`. An amount leaves (its room comes back) `steps` + 1 steps after its bucket began.
   */
  | { readonly kind: "rolling"; readonly name: string; readonly lengthMs: number; readonly stepMs: number; readonly steps: number };

/** A budget's window as configured; made by `parseWindow`. Windows of equal `key` have the same ids and bounds. */
export interface Window {
  /** What the operator wrote, without outer spaces: `month`, `30d`, `rolling: 7d`. */
  readonly text: string;
  readonly rule: WindowRule;
  /** UTC for `lifetime`; only for showing times where the rule is `rolling`. */
  readonly zone: Zone;
  /** What all its ids begin with. */
  readonly key: string;
  /** The last answer of {@link windowAt}, which alone reads and writes it. */
  readonly memo: { span: WindowSpan | undefined };
}

/** One window, or of a rolling one the bucket; they follow one another without gap or overlap. */
export interface WindowSpan {
  /**
   * A key for the store: printable ASCII, sorting by time within one {@link Window.key}. It names the wall time of the
   * start, not the instant, so it survives a government that changes its clocks: `month/Europe/Paris/2026-11`,
   * `week/UTC/2026-11-23` (the Monday), `5h/UTC/2026-11-23T15:00`, `rolling/7d/1h/2026-11-23T15:00`, `lifetime`.
   */
  readonly id: string;
  /** Inclusive. 0 for `lifetime`. */
  readonly startMs: number;
  /** Exclusive; null when it never ends. */
  readonly endMs: number | null;
  /** Amounts of spans that start here or later, up to this one, count against the amount. It is `startMs` unless the rule is `rolling`. */
  readonly countsFromMs: number;
}

/** @param text for {@link Window.text} */
export function createWindow(rule: WindowRule, zone: Zone, text: string): Window {
  return { text, rule, zone, key: keyOf(rule, zone), memo: { span: undefined } };
}

/**
 * The span that an instant lies in. An amount belongs to the span of its dispatch, however late it is settled.
 * Within the last span asked for it costs two comparisons; else some 20 µs, and one in UTC.
 *
 * @param timeMs integer milliseconds since the epoch, from 1970 to 8999
 * @throws GatewayError `gateway_internal` for any other number
 */
export function windowAt(window: Window, timeMs: number): WindowSpan {
  const last = window.memo.span;
  if (last !== undefined && timeMs >= last.startMs && (last.endMs === null || timeMs < last.endMs)) return last;
  assert(Number.isSafeInteger(timeMs) && timeMs >= 0 && timeMs < timeMaxMs, `not a time of a window: ${timeMs}`);
  const span = findSpan(window, timeMs);
  window.memo.span = span;
  return span;
}

/** Every span begins and ends with a minute; all of them do so with a second. */
export function isToTheMinute({ rule }: Pick<Window, "rule">): boolean {
  switch (rule.kind) {
    case "lifetime":
      return true;
    case "month":
    case "days":
      return rule.resetTimeMs % 60_000 === 0;
    case "clock":
      return rule.marksMs.every((mark) => mark % 60_000 === 0) && rule.periodMs % 60_000 === 0 && rule.periodMs > 60_000;
    case "rolling":
      return rule.stepMs % 60_000 === 0;
  }
}

/** The end of the span at an instant; null when it never ends. For a rolling window the next instant at which an amount may leave. */
export function nextResetMs(window: Window, timeMs: number): number | null {
  return windowAt(window, timeMs).endMs;
}

/** When the amounts of a span stop counting, so that their room comes back; null when never. */
export function countsUntilMs(window: Window, span: WindowSpan): number | null {
  return span.endMs === null || window.rule.kind !== "rolling" ? span.endMs : span.endMs + window.rule.steps * window.rule.stepMs;
}

function findSpan({ rule, zone, key }: Window, timeMs: number): WindowSpan {
  if (rule.kind === "lifetime") return { id: key, startMs: 0, endMs: null, countsFromMs: 0 };
  if (rule.kind === "rolling") {
    const startMs = timeMs - (timeMs % rule.stepMs);
    return { id: `${key}/${label(rule, startMs)}`, startMs, endMs: startMs + rule.stepMs, countsFromMs: startMs - rule.steps * rule.stepMs };
  }
  // The last boundary that clocks on the wall have reached by now, and the first that they have not: so the instant lies
  // between the two also where clocks jump, and a window that a jump swallows whole (a skipped day) is never found.
  const mark = lastMark(rule, latestWallAt(zone, timeMs));
  const startMs = firstInstantOf(zone, mark);
  return { id: `${key}/${label(rule, mark)}`, startMs, endMs: firstInstantOf(zone, nextMark(rule, mark)), countsFromMs: startMs };
}

/** Whole days since the epoch of a wall time. */
export function dayNumberOf(wallMs: number): number {
  return Math.floor(wallMs / dayMs);
}

type WallRule = Exclude<WindowRule, { kind: "lifetime" | "rolling" }>;

/** The last boundary at or before a wall time, itself a wall time. */
function lastMark(rule: WallRule, wallMs: number): number {
  switch (rule.kind) {
    case "month": {
      const date = new Date(wallMs - rule.resetTimeMs);
      return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1) + rule.resetTimeMs;
    }
    case "days": {
      const day = dayNumberOf(wallMs - rule.resetTimeMs);
      const since = (((day - rule.phaseDays) % rule.days) + rule.days) % rule.days;
      return (day - since) * dayMs + rule.resetTimeMs;
    }
    case "clock": {
      const periodStartMs = Math.floor(wallMs / rule.periodMs) * rule.periodMs;
      const mark = rule.marksMs.findLast((each) => periodStartMs + each <= wallMs);
      return mark === undefined ? periodStartMs - rule.periodMs + rule.marksMs.at(-1)! : periodStartMs + mark;
    }
  }
}

/** The boundary after a boundary. */
function nextMark(rule: WallRule, markMs: number): number {
  switch (rule.kind) {
    case "month": {
      const date = new Date(markMs - rule.resetTimeMs);
      return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) + rule.resetTimeMs;
    }
    case "days":
      return markMs + rule.days * dayMs;
    case "clock": {
      const periodStartMs = Math.floor(markMs / rule.periodMs) * rule.periodMs;
      const mark = rule.marksMs.find((each) => periodStartMs + each > markMs);
      return periodStartMs + (mark ?? rule.periodMs + rule.marksMs[0]!);
    }
  }
}

function keyOf(rule: WindowRule, zone: Zone): string {
  switch (rule.kind) {
    case "lifetime":
      return "lifetime";
    case "rolling":
      return `rolling/${rule.name}/${spanName(rule.stepMs)}`;
    case "clock":
      return `${rule.name}/${zone.name}`;
    case "month":
      return `month${timeOfDay(rule.resetTimeMs)}/${zone.name}`;
    case "days":
      return `${daysName(rule.days, rule.phaseDays)}${timeOfDay(rule.resetTimeMs)}/${zone.name}`;
  }
}

/** Every day is `day`, every Monday `week`; else the days, and how many days after a Monday-based count they begin. */
function daysName(days: number, phaseDays: number): string {
  if (days === 1) return "day";
  const shift = (((phaseDays - mondayDayNumber) % days) + days) % days;
  if (days === 7 && shift === 0) return "week";
  return shift === 0 ? `${days}d` : `${days}d+${shift}`;
}

function timeOfDay(timeMs: number): string {
  return timeMs === 0 ? "" : `@${new Date(timeMs).toISOString().slice(11, timeMs % 60_000 === 0 ? 16 : 19)}`;
}

/** As much of a wall time as tells spans of one rule apart. */
function label(rule: WindowRule, wallMs: number): string {
  const text = new Date(wallMs).toISOString();
  if (rule.kind === "month") return text.slice(0, 7);
  if (rule.kind === "days") return text.slice(0, 10);
  return text.slice(0, isToTheMinute({ rule }) ? 16 : 19);
}

const spanUnits = [
  ["d", dayMs],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** A length of whole seconds > 0 in the largest unit that takes it whole: `7d`, `36h`, `90m`. */
export function spanName(lengthMs: number): string {
  const [letter, unitMs] = spanUnits.find(([, each]) => lengthMs % each === 0) ?? ["s", 1_000];
  return `${lengthMs / unitMs}${letter}`;
}
