// Guarantee: a budget's window depends on time alone. Windows tile time without gap or overlap in every zone, through
// every change of its clocks, and a clock that jumps back finds the earlier window again.
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { parseWindow, type WindowDefaults, type WindowWords } from "./window-words.ts";
import { countsUntilMs, nextResetMs, windowAt, type Window } from "./window.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

function windowOf(words: WindowWords, defaults: WindowDefaults = {}): Window {
  const parsed = parseWindow(words, defaults);
  if ("fault" in parsed) throw new Error(parsed.fault);
  return parsed.window;
}

/** Start and end as ISO times, and the id. */
function spanAt(words: WindowWords, time: string): [start: string, end: string, id: string] {
  const { startMs, endMs, id } = windowAt(windowOf(words), Date.parse(time));
  return [iso(startMs), endMs === null ? "never" : iso(endMs), id];
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(".000Z", "Z").replace(":00Z", "Z");
}

const zones = ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns", "Africa/Casablanca", "Asia/Kolkata", "Pacific/Chatham"];
const texts = ["day", "week", "month", "30s", "45s", "90s", "30m", "7m", "45m", "90m", "1h", "5h", "7h", "24h", "30h", "48h", "2d", "14d", "30d", "60d", "1mo", "hourly", "rolling: 7d", "rolling: 30d", "rolling: 1h"];
const anyTime = fc.integer({ min: 0, max: Date.UTC(2100, 0, 1) });

/** Times near the changes of clocks that the zones above have, where windows go wrong if they do. */
const changeTimes = ["2026-03-29T01:00Z", "2026-10-25T01:00Z", "2026-03-08T07:00Z", "2026-11-01T06:00Z", "2026-04-04T15:00Z", "2026-10-03T15:30Z", "2026-04-05T03:00Z", "2026-09-06T04:00Z", "2011-12-30T10:00Z", "2006-10-29T02:31Z", "2006-04-02T03:31Z", "1985-12-31T18:30Z"].map((time) => Date.parse(time));
const timeNearChange = fc.tuple(fc.constantFrom(...changeTimes), fc.integer({ min: -30 * hourMs, max: 30 * hourMs })).map(([time, shift]) => time + shift);
const time = fc.oneof(anyTime, timeNearChange);
const words = fc.record({ text: fc.constantFrom(...texts), zone: fc.constantFrom(...zones) });

describe("windows of any kind", () => {
  it("tile time: each holds its own start, and its end begins the next", () => {
    fc.assert(
      fc.property(words, time, ({ text, zone }, timeMs) => {
        const at = (each: number) => windowAt(windowOf(text, { zone }), each);
        const span = at(timeMs);
        const endMs = span.endMs!;
        expect(span.startMs).toBeLessThanOrEqual(timeMs);
        expect(endMs).toBeGreaterThan(timeMs);
        if (span.startMs >= 0) expect(at(span.startMs)).toEqual(span);
        expect(at(endMs - 1)).toEqual(span);
        const next = at(endMs);
        expect(next.startMs).toBe(endMs);
        expect(next.id > span.id).toBe(true);
        if (span.startMs > 0) expect(at(span.startMs - 1).endMs).toBe(span.startMs);
      }),
      { numRuns: 1_500 },
    );
  });

  it("are the same whatever was asked before, also when the clock jumps back", () => {
    fc.assert(
      fc.property(words, fc.array(time, { minLength: 2, maxLength: 8 }), ({ text, zone }, times) => {
        const window = windowOf(text, { zone });
        for (const each of [...times, ...times.toReversed()]) expect(windowAt(window, each)).toEqual(windowAt(windowOf(text, { zone }), each));
      }),
      { numRuns: 300 },
    );
  });

  it("are remembered: within a window the same object is given, and no calendar is asked", () => {
    const window = windowOf("month", { zone: "Europe/Paris" });
    const november = windowAt(window, Date.parse("2026-11-03T10:00Z"));
    const asked = vi.spyOn(window.zone.formatter!, "formatToParts");
    expect(windowAt(window, november.startMs)).toBe(november);
    expect(windowAt(window, Date.parse("2026-11-30T22:59:59.999Z"))).toBe(november);
    expect(asked).not.toHaveBeenCalled();
    asked.mockRestore();
    const december = windowAt(window, Date.parse("2026-11-30T23:00Z"));
    expect(december.id).toBe("month/Europe/Paris/2026-12");
    expect(windowAt(window, Date.parse("2026-11-30T22:59:59.999Z"))).toEqual(november);
  });

  it("are called after what the zone's clocks show at their start, or were to show if they had not skipped it", () => {
    fc.assert(
      fc.property(fc.constantFrom("day", "week", "14d", "30s", "45m", "90m", "5h", "7h", "hourly"), fc.constantFrom(...zones), time, (text, zone, timeMs) => {
        const { id, startMs } = windowAt(windowOf(text, { zone }), timeMs);
        const named = id.slice(id.lastIndexOf("/") + 1);
        const shownAt = (each: number) => new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" }).format(each).replace(" ", "T");
        const full = named.length === 10 ? `${named}T00:00:00` : named.padEnd(19, ":00");
        const [shown, before] = [shownAt(startMs), shownAt(startMs - 1)];
        expect(shown === full || (before < full && full < shown), `${id} begins at ${shown}`).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("refuse what is not a time", () => {
    for (const wrong of [Number.NaN, -1, 1.5, Infinity, Date.UTC(9_000, 0, 1)]) expect(() => windowAt(windowOf("day"), wrong)).toThrow("not a time");
  });
});

describe("calendar windows", () => {
  it("days begin and end with the local date, by a brute-force look at every quarter of an hour", () => {
    for (const zone of zones) {
      const formatter = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" });
      const window = windowOf("day", { zone });
      for (const around of changeTimes) {
        const base = Math.floor(around / (15 * 60_000)) * 15 * 60_000;
        // The latest date shown so far: where clocks fall back over midnight the new day has begun for good.
        let date = "";
        for (let timeMs = base - 40 * hourMs; timeMs < base + 40 * hourMs; timeMs += 15 * 60_000) {
          const shown = formatter.format(timeMs);
          if (shown > date) date = shown;
          expect(windowAt(window, timeMs).id, `${zone} ${iso(timeMs)}`).toBe(`day/${zone}/${date}`);
        }
      }
    }
  });

  it("months have the calendar's lengths, in leap years and others", () => {
    const lengths = (year: number) =>
      Array.from({ length: 12 }, (_, month) => {
        const { startMs, endMs } = windowAt(windowOf("month"), Date.UTC(year, month, 15));
        return (endMs! - startMs) / dayMs;
      });
    expect(lengths(2027)).toEqual([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]);
    expect(lengths(2028)).toEqual([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]);
    expect(lengths(2100)[1]).toBe(28);
    expect(spanAt("day", "2028-02-29T12:00Z")).toEqual(["2028-02-29T00:00Z", "2028-03-01T00:00Z", "day/UTC/2028-02-29"]);
    expect(spanAt({ window: "month", zone: "Europe/Paris" }, "2026-12-31T22:59Z")).toEqual(["2026-11-30T23:00Z", "2026-12-31T23:00Z", "month/Europe/Paris/2026-12"]);
    expect(spanAt({ window: "month", zone: "Europe/Paris" }, "2026-12-31T23:00Z")[2]).toBe("month/Europe/Paris/2027-01");
  });

  it("weeks begin on Monday", () => {
    expect(spanAt("week", "2026-11-23T00:00Z")).toEqual(["2026-11-23T00:00Z", "2026-11-30T00:00Z", "week/UTC/2026-11-23"]);
    expect(spanAt("week", "2026-11-22T23:59:59Z")[2]).toBe("week/UTC/2026-11-16");
    expect(spanAt("week", "2027-01-01T00:00Z")).toEqual(["2026-12-28T00:00Z", "2027-01-04T00:00Z", "week/UTC/2026-12-28"]);
  });

  it.each([
    // zone, a time on the day, the day's start and end
    ["Europe/Paris", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"],
    ["Europe/Paris", "2026-10-25T12:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"],
    ["America/New_York", "2026-03-08T12:00Z", "2026-03-08T05:00Z", "2026-03-09T04:00Z"],
    ["America/New_York", "2026-11-01T12:00Z", "2026-11-01T04:00Z", "2026-11-02T05:00Z"],
    // Half an hour of summer time.
    ["Australia/Lord_Howe", "2026-10-04T00:00Z", "2026-10-03T13:30Z", "2026-10-04T13:00Z"],
    ["Australia/Lord_Howe", "2026-04-05T00:00Z", "2026-04-04T13:00Z", "2026-04-05T13:30Z"],
    // Clocks go from midnight to one: the day begins at one. In autumn they go from midnight back to eleven.
    ["America/Santiago", "2026-09-06T12:00Z", "2026-09-06T04:00Z", "2026-09-07T03:00Z"],
    ["America/Santiago", "2026-04-05T03:30Z", "2026-04-04T03:00Z", "2026-04-05T04:00Z"],
    ["Asia/Kathmandu", "2026-11-23T12:00Z", "2026-11-22T18:15Z", "2026-11-23T18:15Z"],
    // At a minute past midnight back to a minute past eleven: midnight comes twice, the day begins with the first.
    ["America/St_Johns", "2006-10-29T02:45Z", "2006-10-29T02:30Z", "2006-10-30T03:30Z"],
    ["Pacific/Apia", "2011-12-30T09:59Z", "2011-12-29T10:00Z", "2011-12-30T10:00Z"],
    ["Pacific/Apia", "2011-12-30T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"],
  ])("a day in %s at %s", (zone, timeOn, start, end) => {
    expect(spanAt({ window: "day", zone }, timeOn).slice(0, 2)).toEqual([start, end]);
  });

  it("a day that a zone skipped has no window", () => {
    const window = windowOf("day", { zone: "Pacific/Apia" });
    expect(windowAt(window, Date.parse("2011-12-30T09:59Z")).id).toBe("day/Pacific/Apia/2011-12-29");
    expect(windowAt(window, Date.parse("2011-12-30T10:00Z")).id).toBe("day/Pacific/Apia/2011-12-31");
  });

  it("begin at the hour an operator chose", () => {
    const words = { zone: "Europe/Paris", resetTime: "06:00" };
    expect(spanAt({ window: "day", ...words }, "2026-11-23T04:59Z")).toEqual(["2026-11-22T05:00Z", "2026-11-23T05:00Z", "day@06:00/Europe/Paris/2026-11-22"]);
    expect(spanAt({ window: "month", ...words }, "2026-12-01T04:59Z")).toEqual(["2026-11-01T05:00Z", "2026-12-01T05:00Z", "month@06:00/Europe/Paris/2026-11"]);
    // A time of day that is skipped counts from the skip.
    expect(spanAt({ window: "day", zone: "Europe/Paris", resetTime: "02:30" }, "2026-03-29T12:00Z")[0]).toBe("2026-03-29T01:00Z");
  });

  it("of several days are counted from a Monday, or from the day given", () => {
    expect(spanAt("14d", "2026-11-23T12:00Z")).toEqual(["2026-11-23T00:00Z", "2026-12-07T00:00Z", "14d/UTC/2026-11-23"]);
    expect(spanAt({ window: "14d", anchor: "2026-11-18" }, "2026-11-23T12:00Z")).toEqual(["2026-11-18T00:00Z", "2026-12-02T00:00Z", "14d+9/UTC/2026-11-18"]);
    expect(windowOf({ window: "14d", anchor: "2026-12-02" }).key).toBe(windowOf({ window: "14d", anchor: "1969-12-17" }).key);
  });
});

describe("LiteLLM's durations", () => {
  // What the documentation and the tests of BerriAI/litellm say of `get_next_standardized_reset_time`: the reset after a time.
  it.each([
    ["1d", "2023-05-15T10:30Z", "2023-05-16T00:00Z"],
    ["24h", "2023-05-15T10:30Z", "2023-05-16T00:00Z"],
    ["7d", "2023-05-17T15:45Z", "2023-05-22T00:00Z"],
    ["1w", "2023-05-17T15:45Z", "2023-05-22T00:00Z"],
    ["7d", "2023-05-22T00:00Z", "2023-05-29T00:00Z"],
    ["30d", "2023-05-15T10:30Z", "2023-06-01T00:00Z"],
    ["1mo", "2023-05-15T10:30Z", "2023-06-01T00:00Z"],
    ["1mo", "2023-12-15T10:30Z", "2024-01-01T00:00Z"],
    ["2h", "2023-05-15T15:20:30Z", "2023-05-15T16:00Z"],
    ["2h", "2023-05-15T14:00Z", "2023-05-15T16:00Z"],
    ["30m", "2023-05-15T15:20:30Z", "2023-05-15T15:30Z"],
    ["30m", "2023-05-15T14:30Z", "2023-05-15T15:00Z"],
    ["30m", "2023-05-15T23:50Z", "2023-05-16T00:00Z"],
    ["15s", "2023-05-15T15:20:30Z", "2023-05-15T15:20:45Z"],
    ["30s", "2026-09-05T00:36:15Z", "2026-09-05T00:36:30Z"],
    ["2m", "2026-10-06T07:02:12Z", "2026-10-06T07:04Z"],
    ["5m", "2026-10-06T07:02:12Z", "2026-10-06T07:05Z"],
    ["hourly", "2023-05-17T15:20:30Z", "2023-05-17T16:00Z"],
    ["daily", "2023-05-17T15:20:30Z", "2023-05-18T00:00Z"],
    ["weekly", "2023-05-17T15:20:30Z", "2023-05-22T00:00Z"],
    ["  Monthly ", "2023-05-17T15:20:30Z", "2023-06-01T00:00Z"],
  ])("%s at %s resets at %s", (text, timeOn, reset) => {
    expect(iso(nextResetMs(windowOf(text), Date.parse(timeOn))!)).toBe(reset);
  });

  it.each([
    ["US/Eastern", "1d", "2023-05-15T22:30Z", "2023-05-16T04:00Z"],
    ["Asia/Kolkata", "1d", "2023-05-15T22:30Z", "2023-05-16T18:30Z"],
    ["US/Pacific", "2h", "2023-05-15T22:30Z", "2023-05-15T23:00Z"],
    ["Europe/London", "15m", "2023-05-15T22:30Z", "2023-05-15T22:45Z"],
    ["Asia/Tokyo", "1d", "2023-05-15T15:00Z", "2023-05-16T15:00Z"],
    ["US/Eastern", "1d", "2023-11-05T05:30Z", "2023-11-06T05:00Z"],
    ["US/Eastern", "1d", "2023-03-12T06:30Z", "2023-03-13T04:00Z"],
  ])("in %s, %s at %s resets at %s", (zone, text, timeOn, reset) => {
    expect(iso(nextResetMs(windowOf(text, { zone }), Date.parse(timeOn))!)).toBe(reset);
  });

  it("take the file's reset time for days, weeks and months, and not for hours", () => {
    const reset = (text: string, timeOn: string, zone = "UTC") => iso(nextResetMs(windowOf(text, { zone, resetTime: "12:00" }), Date.parse(timeOn))!);
    expect(reset("1d", "2023-05-15T08:00Z")).toBe("2023-05-15T12:00Z");
    expect(reset("1d", "2023-05-15T12:00Z")).toBe("2023-05-16T12:00Z");
    expect(reset("1d", "2023-05-15T22:30Z", "Asia/Jerusalem")).toBe("2023-05-16T09:00Z");
    expect(reset("7d", "2023-05-22T09:00Z")).toBe("2023-05-22T12:00Z");
    expect(reset("1mo", "2023-05-01T09:00Z")).toBe("2023-05-01T12:00Z");
    expect(reset("30d", "2023-05-15T10:30Z")).toBe("2023-06-01T12:00Z");
    expect(reset("2h", "2023-05-15T15:20:30Z")).toBe("2023-05-15T16:00Z");
    expect(reset("24h", "2023-05-15T15:20:30Z")).toBe("2023-05-16T00:00Z");
  });

  it("that divide nothing evenly run over the end of the hour or day once, then start at the multiples again", () => {
    const marks = (text: string, from: string, count: number) => {
      const window = windowOf(text);
      const found: string[] = [];
      for (let timeMs = Date.parse(from); found.length < count; ) found.push(iso((timeMs = nextResetMs(window, timeMs)!)).slice(11, -1));
      return found;
    };
    expect(marks("5h", "2026-11-23T20:00Z", 6)).toEqual(["01:00", "05:00", "10:00", "15:00", "20:00", "01:00"]);
    expect(marks("7m", "2026-11-23T20:56Z", 3)).toEqual(["21:03", "21:07", "21:14"]);
    expect(marks("45s", "2026-11-23T20:00:45Z", 3)).toEqual(["20:01:30", "20:01:45", "20:02:30"]);
    expect(marks("90m", "2026-11-23T20:00Z", 3)).toEqual(["20:30", "21:30", "22:30"]);
    expect(marks("90s", "2026-11-23T20:00Z", 2)).toEqual(["20:00:30", "20:01:30"]);
    expect(marks("30h", "2026-11-23T20:00Z", 2)).toEqual(["06:00", "06:00"]);
    expect(marks("120m", "2026-11-23T20:00Z", 2)).toEqual(["22:00", "00:00"]);
  });

  it("of one length have one id, in whatever unit they are written", () => {
    const key = (text: string) => windowOf(text).key;
    for (const text of ["day", "24h", "1440m", "86400s", "daily"]) expect(key(text)).toBe("day/UTC");
    for (const text of ["week", "1w", "168h", "weekly"]) expect(key(text)).toBe("week/UTC");
    for (const text of ["month", "30d", "1mo"]) expect(key(text)).toBe("month/UTC");
    for (const text of ["2d", "48h", "2880m"]) expect(key(text)).toBe("2d/UTC");
    for (const text of ["365d", "8760h", "525600m", "31536000s"]) expect(key(text)).toBe("365d/UTC");
    expect(key("90m")).toBe("1h30m/UTC");
    expect(key("720h")).toBe("30d/UTC");
  });

  it("in hours last until the clock on the wall has moved on, where clocks are turned back", () => {
    expect(spanAt({ window: "1h", zone: "Europe/Paris" }, "2026-10-25T01:30Z")).toEqual(["2026-10-25T00:00Z", "2026-10-25T02:00Z", "1h/Europe/Paris/2026-10-25T02:00"]);
    expect(spanAt({ window: "1h", zone: "Europe/Paris" }, "2026-03-29T01:30Z")).toEqual(["2026-03-29T01:00Z", "2026-03-29T02:00Z", "1h/Europe/Paris/2026-03-29T03:00"]);
  });
});

describe("rolling windows", () => {
  it("keep amounts in buckets that divide them, at most 168", () => {
    const steps = Object.fromEntries(["1h", "5h", "24h", "7d", "30d", "90d", "366d"].map((text) => [text, windowOf({ rolling: text }).key.split("/").at(-1)]));
    expect(steps).toEqual({ "1h": "30s", "5h": "2m", "24h": "10m", "7d": "1h", "30d": "6h", "90d": "1d", "366d": "3d" });
  });

  it("count the current bucket and all that reach into the length before it", () => {
    const window = windowOf("rolling: 7d");
    const span = windowAt(window, Date.parse("2026-11-23T15:20Z"));
    expect(span).toEqual({ id: "rolling/7d/1h/2026-11-23T15:00", startMs: Date.parse("2026-11-23T15:00Z"), endMs: Date.parse("2026-11-23T16:00Z"), countsFromMs: Date.parse("2026-11-16T15:00Z") });
    expect(iso(countsUntilMs(window, span)!)).toBe("2026-11-30T16:00Z");
  });

  it("never forget an amount before its time, and not later than two steps after it", () => {
    fc.assert(
      fc.property(fc.constantFrom("1h", "5h", "24h", "7d", "30d", "365d"), anyTime, fc.double({ min: 0, max: 1.1, noNaN: true }), (rolling, spentMs, share) => {
        const window = windowOf({ rolling });
        const rule = window.rule;
        if (rule.kind !== "rolling") throw new Error("not rolling");
        const spent = windowAt(window, spentMs);
        const nowMs = spentMs + Math.floor(share * rule.lengthMs);
        const counts = spent.startMs >= windowAt(window, nowMs).countsFromMs;
        if (nowMs - spentMs <= rule.lengthMs) expect(counts).toBe(true);
        if (nowMs - spentMs >= rule.lengthMs + 2 * rule.stepMs) expect(counts).toBe(false);
        expect(counts).toBe(nowMs < countsUntilMs(window, spent)!);
      }),
      { numRuns: 500 },
    );
  });
});

describe("lifetime", () => {
  it("is one window without an end, whatever the zone", () => {
    const window = windowOf("lifetime", { zone: "Europe/Paris", resetTime: "06:00" });
    const span = windowAt(window, Date.parse("2026-11-23T00:00Z"));
    expect(span).toEqual({ id: "lifetime", startMs: 0, endMs: null, countsFromMs: 0 });
    expect([nextResetMs(window, 5), countsUntilMs(window, span)]).toEqual([null, null]);
  });
});
