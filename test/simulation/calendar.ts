/** Which window an instant falls into, told by the platform's own calendar instead of the product's arithmetic. */
import { windowAt, type Window } from "../../src/ledger/window.ts";

const formats = new Map<string, Intl.DateTimeFormat>();
/** By zone and minute: clocks are a whole number of minutes apart everywhere. */
const dates = new Map<string, string>();
const datesMax = 50_000;

/** `2026-03-29`, as the wall calendar of a zone has it. */
function dateIn(zone: string, timeMs: number): string {
  const key = `${zone} ${Math.floor(timeMs / 60_000)}`;
  const known = dates.get(key);
  if (known !== undefined) return known;
  if (dates.size >= datesMax) dates.clear();
  const date = formatIn(zone, timeMs);
  dates.set(key, date);
  return date;
}

function formatIn(zone: string, timeMs: number): string {
  let format = formats.get(zone);
  if (format === undefined) formats.set(zone, (format = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" })));
  return format.format(timeMs);
}

/** The Monday of a date's week. */
function mondayOf(date: string): string {
  const day = new Date(`${date}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() - ((day.getUTCDay() + 6) % 7));
  return day.toISOString().slice(0, 10);
}

/**
 * The same text for two instants of one window, for calendar windows and for the whole life. Windows of hours and minutes and
 * sliding ones have no calendar of their own: for these it is the product's own span, whose arithmetic has tests beside it.
 */
export function windowLabel(window: Window, timeMs: number): string {
  const { rule, zone, key } = window;
  if (rule.kind === "lifetime") return "";
  if (rule.kind === "month" && rule.resetTimeMs === 0) return dateIn(zone.name, timeMs).slice(0, 7);
  if (rule.kind === "days" && key.startsWith("day/")) return dateIn(zone.name, timeMs);
  if (rule.kind === "days" && key.startsWith("week/")) return mondayOf(dateIn(zone.name, timeMs));
  return windowAt(window, timeMs).id;
}
