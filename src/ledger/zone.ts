/**
 * Local time of IANA zones, by the runtime's own zone data and no library. It answers two questions that calendar
 * windows need: what do clocks on the wall show at an instant, and when do they first show a given time.
 */

/** Farther than any zone has been from UTC, so that a wall time ± this surely encloses its instants. */
const offsetReachMs = 18 * 3_600_000;
/**
 * No zone has turned its clocks back by more: 23 hours at most (Kwajalein, 1969). And changes of one zone lie at least 167
 * hours apart, so two probes that show one offset have no change in between. Both hold in the runtime's zone data (2026c)
 * from 1965 to 2040.
 */
const repeatReachMs = 24 * 3_600_000;
const probeStepMs = 24 * 3_600_000;

/**
 * A zone. *Wall time* is what its clocks show, written as the milliseconds since the epoch at which a clock in UTC shows
 * the same; so arithmetic on days is plain arithmetic.
 */
export interface Zone {
  /** As the operator wrote it, in the usual case; `UTC` for all of UTC's names. It is part of window ids. */
  readonly name: string;
  /** Undefined for UTC, whose wall time is the instant itself. */
  readonly formatter: Intl.DateTimeFormat | undefined;
}

const zones = new Map<string, Zone>();

/**
 * @param name IANA name, such as `Europe/Paris`; upper and lower case are one, aliases (`Asia/Kolkata`) keep their name
 * @returns the same object each time; undefined for a name the runtime's data does not have, and for bare offsets (`+02:00`)
 */
export function findZone(name: string): Zone | undefined {
  const known = zones.get(name);
  if (known !== undefined) return known;
  if (!/^[A-Za-z]/.test(name)) return undefined;
  let formatter: Intl.DateTimeFormat;
  try {
    formatter = new Intl.DateTimeFormat("en-US", {
      timeZone: name,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch {
    return undefined;
  }
  const resolved = formatter.resolvedOptions().timeZone;
  // The runtime renames aliases, and other releases of its data may rename them otherwise; ids must not change with it.
  const lasting = resolved === "UTC" ? "UTC" : resolved.toLowerCase() === name.toLowerCase() ? resolved : name;
  const zone = zones.get(lasting) ?? { name: lasting, formatter: resolved === "UTC" ? undefined : formatter };
  zones.set(lasting, zone);
  return zone;
}

/** What the zone's clocks show at an instant. Costs a few µs, except in UTC. */
export function wallAt(zone: Zone, timeMs: number): number {
  if (zone.formatter === undefined) return timeMs;
  let [year, month, day, hour, minute, second] = [0, 0, 0, 0, 0, 0];
  for (const { type, value } of zone.formatter.formatToParts(timeMs)) {
    if (type === "year") year = Number(value);
    else if (type === "month") month = Number(value);
    else if (type === "day") day = Number(value);
    else if (type === "hour") hour = Number(value);
    else if (type === "minute") minute = Number(value);
    else if (type === "second") second = Number(value);
  }
  return Date.UTC(year, month - 1, day, hour, minute, second) + (((timeMs % 1_000) + 1_000) % 1_000);
}

/**
 * The latest time that the zone's clocks have shown up to an instant. It differs from {@link wallAt} only after clocks
 * were turned back, until they have caught up: time that was there once does not begin a second time.
 */
export function latestWallAt(zone: Zone, timeMs: number): number {
  if (zone.formatter === undefined) return timeMs;
  let latest = -Infinity;
  for (const stretch of stretches(zone, timeMs - repeatReachMs, timeMs)) latest = Math.max(latest, stretch.endMs - 1 + stretch.offsetMs);
  return latest;
}

/**
 * The first instant at which the zone's clocks show a wall time or a later one: of a time that exists twice the first,
 * for a time that is skipped the instant of the skip. Never decreasing in `wallMs`, so boundaries keep their order.
 * `latestWallAt(zone, t) >= wallMs` holds exactly when `t >= firstInstantOf(zone, wallMs)`.
 */
export function firstInstantOf(zone: Zone, wallMs: number): number {
  if (zone.formatter === undefined) return wallMs;
  for (const { startMs, endMs, offsetMs } of stretches(zone, wallMs - offsetReachMs, wallMs + offsetReachMs)) {
    const instant = Math.max(startMs, wallMs - offsetMs);
    if (instant < endMs) return instant;
  }
  return wallMs + offsetReachMs;
}

/** A time during which the offset stays. */
interface Stretch {
  readonly startMs: number;
  /** Exclusive. */
  readonly endMs: number;
  readonly offsetMs: number;
}

/** The stretches that make up `fromMs` to `toMs`, both inclusive, in order. */
function stretches(zone: Zone, fromMs: number, toMs: number): Stretch[] {
  const found: Stretch[] = [];
  let startMs = fromMs;
  let offsetMs = offsetAt(zone, fromMs);
  for (let probeMs = fromMs; probeMs < toMs; ) {
    const nextMs = Math.min(probeMs + probeStepMs, toMs);
    const nextOffsetMs = offsetAt(zone, nextMs);
    if (nextOffsetMs !== offsetMs) {
      const changeMs = findChange(zone, probeMs, nextMs);
      found.push({ startMs, endMs: changeMs, offsetMs });
      [startMs, offsetMs] = [changeMs, nextOffsetMs];
    }
    probeMs = nextMs;
  }
  found.push({ startMs, endMs: toMs + 1, offsetMs });
  return found;
}

/** The first instant after `beforeMs` with another offset; `afterMs` has one. */
function findChange(zone: Zone, beforeMs: number, afterMs: number): number {
  const offsetMs = offsetAt(zone, beforeMs);
  let [low, high] = [beforeMs, afterMs];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(zone, middle) === offsetMs) low = middle;
    else high = middle;
  }
  return high;
}

function offsetAt(zone: Zone, timeMs: number): number {
  return wallAt(zone, timeMs) - timeMs;
}
