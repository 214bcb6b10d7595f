/** Windows and their ends as people read them: in refusals, in `tollgate budget list`, in the status line. English only. */
import { windowAt, type Window } from "./window.ts";
import { wallAt, type Zone } from "./zone.ts";

const months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const dayMs = 86_400_000;
/** An end farther off than this is shown with its year; nearer, the day and month can mean only one. */
const yearlessMaxMs = 300 * dayMs;

/**
 * When the window at an instant ends, on its zone's clocks: `1 Dec 00:00 Europe/Paris`; with seconds where there are any.
 *
 * @returns null when it never ends. For a rolling window the next instant at which an amount may leave; for the one that
 *   makes room for a given amount, render `countsUntilMs` of the span it is in
 */
export function renderReset(window: Window, timeMs: number): string | null {
  const { endMs } = windowAt(window, timeMs);
  return endMs === null ? null : renderInstant(window.zone, endMs, timeMs);
}

/** @param fromMs the reader's now, which decides whether the year has to be said */
export function renderInstant(zone: Zone, timeMs: number, fromMs: number): string {
  const wallMs = wallAt(zone, timeMs);
  const year = Math.abs(timeMs - fromMs) > yearlessMaxMs ? ` ${new Date(wallMs).getUTCFullYear()}` : "";
  return `${dayAndMonth(wallMs)}${year} ${clockTime(wallMs)} ${zone.name}`;
}

/**
 * The span at an instant as a noun: `November`, `this week`, `today`, `the 14 days from 16 Nov`, `10:00 to 15:00`,
 * `the last 7 days`, `all time`. `this week` and `today` are true only of the present.
 */
export function describeWindow(window: Window, timeMs: number): string {
  const { rule, zone } = window;
  if (rule.kind === "lifetime") return "all time";
  if (rule.kind === "rolling") return `the last ${lengthInWords(rule.name)}`;
  const { startMs, endMs } = windowAt(window, timeMs);
  const startWallMs = wallAt(zone, startMs);
  if (rule.kind === "month") return months[new Date(startWallMs).getUTCMonth()]!;
  if (rule.kind === "clock") return `${clockTime(startWallMs)} to ${clockTime(wallAt(zone, endMs!))}`;
  if (rule.days === 7) return "this week";
  if (rule.days === 1) return rule.resetTimeMs === 0 ? "today" : `the day from ${dayAndMonth(startWallMs)} ${clockTime(startWallMs)}`;
  return `the ${rule.days} days from ${dayAndMonth(startWallMs)}`;
}

/**
 * The same before the word "budget", for "Team Payments has used its ___ budget": `November`, `weekly`, `daily`,
 * `14-day`, `hourly`, `5-hour`, `rolling 7-day`, `lifetime`.
 */
export function describeBudget(window: Window, timeMs: number): string {
  const { rule } = window;
  switch (rule.kind) {
    case "lifetime":
      return "lifetime";
    case "month":
      return describeWindow(window, timeMs);
    case "days":
      return rule.days === 1 ? "daily" : rule.days === 7 ? "weekly" : `${rule.days}-day`;
    case "rolling":
      return `rolling ${lengthAsAdjective(rule.name)}`;
    case "clock":
      return rule.name === "1h" ? "hourly" : lengthAsAdjective(rule.name);
  }
}

const unitWords: Readonly<Record<string, string>> = { d: "day", h: "hour", m: "minute", s: "second" };

/** `7d` → `7 days`; one day is `24 hours`, since "the last day" means yesterday. */
function lengthInWords(name: string): string {
  const [, count, unit = ""] = /^(\d+)([dhms])$/.exec(name === "1d" ? "24h" : name) ?? [];
  return count === "1" ? unitWords[unit]! : `${count} ${unitWords[unit]}s`;
}

/** `5h` → `5-hour`, `1m30s` → `1-minute-30-second`. */
function lengthAsAdjective(name: string): string {
  return Array.from(name.matchAll(/(\d+)([dhms])/g), ([, count, unit = ""]) => `${count}-${unitWords[unit]}`).join("-");
}

function dayAndMonth(wallMs: number): string {
  const date = new Date(wallMs);
  return `${date.getUTCDate()} ${months[date.getUTCMonth()]!.slice(0, 3)}`;
}

function clockTime(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(11, wallMs % 60_000 === 0 ? 16 : 19);
}
