/**
 * What an operator writes for a budget's window, read into the arithmetic of `window.ts`: our own words, and LiteLLM's
 * `budget_duration` with its way of snapping to the calendar.
 */
import { createWindow, dayNumberOf, mondayDayNumber, spanName, type Window, type WindowRule } from "./window.ts";
import { findZone, type Zone } from "./zone.ts";

const dayMs = 86_400_000;
const hourMs = 3_600_000;
/** A hundred years; more is a slip. */
const daysMax = 36_600;
const rollingDaysMax = 366;
const bucketsMax = 168;
/** Lengths of a rolling window's buckets: the shortest that makes at most {@link bucketsMax} is taken. */
const bucketStepsMs = [
  ...[1, 2, 5, 10, 15, 20, 30].map((seconds) => seconds * 1_000),
  ...[1, 2, 3, 5, 10, 15, 20, 30].map((minutes) => minutes * 60_000),
  ...[1, 2, 3, 4, 6, 8, 12].map((hours) => hours * hourMs),
  ...[1, 2, 3].map((days) => days * dayMs),
];

/** A window in words: the text alone, or with its settings. */
export type WindowWords =
  | string
  | {
      /** `day`, `week`, `month`, `lifetime`, or a duration. Either this or `rolling`. */
      readonly window?: string;
      /** How far back a sliding window reaches: `24h`, `7d`. */
      readonly rolling?: string;
      /** IANA name; UTC when absent. */
      readonly zone?: string;
      /** Wall time of the reset, `06:00`, for windows of whole days; midnight when absent. */
      readonly resetTime?: string;
      /** A day, `2026-11-17`, on which a window of several days begins; a Monday-based count when absent. */
      readonly anchor?: string;
    };

/** What the file says for all budgets. It applies where it can (LiteLLM's `timezone` and `budget_reset_time` do just this). */
export interface WindowDefaults {
  readonly zone?: string;
  /** Not for `lifetime`, rolling windows, and durations in hours, minutes or seconds. */
  readonly resetTime?: string;
}

/** `fault` is a sentence without its subject and final stop, to stand after the setting's name. */
export type ParsedWindow = { readonly window: Window } | { readonly fault: string };

type ParsedRule = { readonly rule: WindowRule } | { readonly fault: string };

/**
 * Reads a window. Durations follow LiteLLM's `budget_duration`: `1d` (and `24h`) ends at midnight, `7d` on Monday, `30d`
 * and `1mo` on the first; shorter ones end at round times of the hour or day; other `Nd` every N days at midnight. LiteLLM
 * counts those from the moment its reset job last ran, we from a fixed Monday or from `anchor`, so that time alone decides.
 *
 * `Nh` ends at hours of the day that N divides, and the last step of a day runs over midnight whole: `5h` at 1, 5, 10, 15, 20.
 * Minutes and seconds do the same within their hour and minute. What is longer than its unit's frame becomes the next
 * unit's (`90m`: every hour at half past; `30h`: every day at 6; `48h`: every two days), as LiteLLM counts from midnight.
 * Its releases differ for 48 hours and more written in hours (some reset after one day, BerriAI/litellm#17993); we keep what is written.
 * `hourly`, `daily`, `weekly` and `monthly` are LiteLLM's words too. What it takes silently for a day (an unknown unit) or
 * for UTC (an unknown zone) is refused here.
 *
 * @source docs.litellm.ai/docs/proxy/budget_reset_and_tz (page of 2026-10-06) and `litellm_core_utils/duration_parser.py` of BerriAI/litellm, read 2026-11-23
 */
export function parseWindow(words: WindowWords, defaults: WindowDefaults = {}): ParsedWindow {
  const given = typeof words === "string" ? splitText(words) : words;
  if ((given.window === undefined) === (given.rolling === undefined)) return { fault: "must have either `window` or `rolling`" };
  const zoneName = given.zone ?? defaults.zone ?? "UTC";
  const zone = findZone(zoneName);
  if (zone === undefined) return { fault: zoneFault(zoneName) };
  const text = given.window?.trim() ?? `rolling: ${given.rolling?.trim()}`;
  const parsed = given.rolling === undefined ? parseRule(text) : parseRolling(given.rolling.trim());
  if ("fault" in parsed) return parsed;
  const placed = place(parsed.rule, text, { given, defaults });
  return "fault" in placed ? placed : { window: createWindow(placed.rule, placed.rule.kind === "lifetime" ? utc() : zone, text) };
}

type WindowSettings = Exclude<WindowWords, string>;

function splitText(text: string): WindowSettings {
  const match = /^\s*rolling\s*[: ]\s*(.*)$/is.exec(text);
  return match === null ? { window: text } : { rolling: match[1]! };
}

function utc(): Zone {
  return findZone("UTC")!;
}

const calendarWords: Readonly<Record<string, WindowRule>> = {
  day: { kind: "days", days: 1, phaseDays: 0, resetTimeMs: 0 },
  week: { kind: "days", days: 7, phaseDays: mondayDayNumber, resetTimeMs: 0 },
  month: { kind: "month", resetTimeMs: 0 },
  lifetime: { kind: "lifetime" },
};
const otherWords: Readonly<Record<string, string>> = { hourly: "1h", daily: "1d", weekly: "7d", monthly: "1mo" };

function parseRule(text: string): ParsedRule {
  const word = text.toLowerCase();
  const calendarRule = Object.hasOwn(calendarWords, word) ? calendarWords[word] : undefined;
  if (calendarRule !== undefined) return { rule: calendarRule };
  const duration = Object.hasOwn(otherWords, word) ? otherWords[word]! : text;
  const match = /^(\d{1,12})(mo|[smhdw])$/.exec(duration);
  if (match === null) {
    const near = nearest(word, [...Object.keys(calendarWords), ...Object.keys(otherWords)]);
    return { fault: `\`${text}\` is not a window; write day, week, month, lifetime, rolling: 7d, or a duration such as 30m, 24h, 7d, 30d or 1mo${near}` };
  }
  const [count, unit] = [Number(match[1]), match[2]];
  if (count === 0) return { fault: `\`${text}\` is empty; to block all spending set the amount to 0 instead` };
  if (unit === "mo") return count === 1 ? { rule: calendarWords["month"]! } : { fault: `\`${text}\`: only 1mo is a window; write a number of days for longer ones` };
  const rule = unit === "d" || unit === "w" ? daysRule(unit === "w" ? count * 7 : count) : clockRule(count, unit ?? "");
  return rule.kind === "days" && rule.days > daysMax ? { fault: `\`${text}\` is longer than a hundred years; write lifetime` } : { rule };
}

function daysRule(days: number): WindowRule {
  return days === 30 ? calendarWords["month"]! : everyDays(days, 0);
}

function everyDays(days: number, resetTimeMs: number): WindowRule {
  return { kind: "days", days, phaseDays: mondayDayNumber % days, resetTimeMs };
}

/** Units of the clock, with how many make the next one: its frame, within which steps are counted. */
const clockUnits = [
  { unit: "s", unitMs: 1_000, frame: 60 },
  { unit: "m", unitMs: 60_000, frame: 60 },
  { unit: "h", unitMs: hourMs, frame: 24 },
] as const;

/** Steps that fill their unit's frame become steps of the next unit, and what is left over says where in it the marks lie. */
function clockRule(count: number, unit: string): WindowRule {
  let steps = count;
  let restMs = 0;
  let restName = "";
  for (const { unit: each, unitMs, frame } of clockUnits.slice(clockUnits.findIndex((known) => known.unit === unit))) {
    if (steps < frame) {
      const marksMs = marksWithin(steps, frame).map((mark) => mark * unitMs + restMs);
      return { kind: "clock", name: `${steps}${each}${restName}`, periodMs: frame * unitMs, marksMs };
    }
    const rest = steps % frame;
    if (rest > 0) restName = `${rest}${each}${restName}`;
    restMs += rest * unitMs;
    steps = Math.floor(steps / frame);
  }
  return everyDays(steps, restMs);
}

/** Multiples of `step` below `size`, and what the step that runs over the end reaches in the next frame: 5 in 24 → 1, 5, 10, 15, 20. */
function marksWithin(step: number, size: number): number[] {
  const count = Math.ceil(size / step) - 1;
  return [(count + 1) * step - size, ...Array.from({ length: count }, (_, index) => (index + 1) * step)];
}

function parseRolling(text: string): ParsedRule {
  const match = /^(\d{1,9})(mo|[smhdw])$/.exec(text);
  if (match === null) return { fault: `\`${text}\` is not a length; write how far back the window reaches, such as 24h or 7d` };
  const [count, unit] = [Number(match[1]), match[2]];
  if (unit === "mo") return { fault: `\`${text}\`: months differ in length, so they cannot roll; write days, such as 30d` };
  const lengthMs = count * (unit === "d" ? dayMs : unit === "w" ? 7 * dayMs : clockUnits.find((known) => known.unit === unit)!.unitMs);
  if (lengthMs === 0 || lengthMs > rollingDaysMax * dayMs) return { fault: `\`${text}\`: a rolling window reaches back between 1s and ${rollingDaysMax}d` };
  const stepMs = bucketStepsMs.find((step) => Math.ceil(lengthMs / step) <= bucketsMax)!;
  return { rule: { kind: "rolling", name: spanName(lengthMs), lengthMs, stepMs, steps: Math.ceil(lengthMs / stepMs) } };
}

/** Puts the time of day and the first day into a rule that has them; says so where they mean nothing. */
function place(rule: WindowRule, text: string, words: { readonly given: WindowSettings; readonly defaults: WindowDefaults }): ParsedRule {
  const { given, defaults } = words;
  const isWholeDays = (rule.kind === "month" || rule.kind === "days") && !/^\d+[smh]$/.test(text);
  if (given.resetTime !== undefined && !isWholeDays) return { fault: `a reset time means nothing for \`${text}\`; it is for windows of whole days` };
  const isLong = rule.kind === "days" && rule.days !== 1 && rule.days !== 7;
  if (given.anchor !== undefined && !isLong) return { fault: `an anchor means nothing for \`${text}\`; it is for windows of several days, such as 14d` };
  let placed = rule;
  const resetTime = isWholeDays ? (given.resetTime ?? defaults.resetTime) : undefined;
  if (resetTime !== undefined && (placed.kind === "month" || placed.kind === "days")) {
    const resetTimeMs = parseTimeOfDay(resetTime);
    if (resetTimeMs === undefined) return { fault: `\`${resetTime}\` is not a time of day; write it as 06:00` };
    placed = { ...placed, resetTimeMs };
  }
  if (given.anchor !== undefined && placed.kind === "days") {
    const anchorDay = parseDay(given.anchor);
    if (anchorDay === undefined) return { fault: `\`${given.anchor}\` is not a day; write it as 2026-11-17` };
    placed = { ...placed, phaseDays: ((anchorDay % placed.days) + placed.days) % placed.days };
  }
  return { rule: placed };
}

function parseTimeOfDay(text: string): number | undefined {
  const match = /^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/.exec(text);
  return match === null ? undefined : Number(match[1]) * hourMs + Number(match[2]) * 60_000 + Number(match[3] ?? 0) * 1_000;
}

/** @returns its number since the epoch */
function parseDay(text: string): number | undefined {
  const timeMs = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(timeMs) || !new Date(timeMs).toISOString().startsWith(text) ? undefined : dayNumberOf(timeMs);
}

/** Names that zones are written with although the runtime lists them under another. */
const zoneAliases = ["UTC", "Asia/Kolkata", "Asia/Ho_Chi_Minh", "Asia/Kathmandu", "Europe/Kyiv", "America/Argentina/Buenos_Aires", "US/Eastern", "US/Central", "US/Mountain", "US/Pacific"];

function zoneFault(name: string): string {
  const near = nearest(name.trim().replace(/\s+/g, "_"), [...zoneAliases, ...Intl.supportedValuesOf("timeZone")]);
  return `\`${name}\` is not a time zone; write an IANA name such as Europe/Paris${near}`;
}

/** "; did you mean `x`?" for the name that shares most pairs of letters, with a zone's city alone counting as its name; or nothing. */
function nearest(name: string, known: readonly string[]): string {
  const pairs = pairsOf(name);
  let best = { name: "", likeness: 0.5 };
  for (const candidate of known) {
    const city = candidate.slice(candidate.lastIndexOf("/") + 1);
    // The whole name wins over the city alone where both are as like.
    const likeness = Math.max(likenessOf(pairs, pairsOf(candidate)), likenessOf(pairs, pairsOf(city)) - 0.01);
    if (likeness > best.likeness) best = { name: candidate, likeness };
  }
  return best.name === "" ? "" : `; did you mean \`${best.name}\`?`;
}

function pairsOf(name: string): ReadonlySet<string> {
  const padded = ` ${name.toLowerCase()} `;
  return new Set(Array.from({ length: padded.length - 1 }, (_, index) => padded.slice(index, index + 2)));
}

function likenessOf(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  return (2 * [...a].filter((pair) => b.has(pair)).length) / (a.size + b.size);
}
