// Guarantee: a window that cannot be meant is refused with a sentence that says what to write; and people read of
// windows in words that fit the sentences they stand in.
import { describe, expect, it } from "vitest";
import { describeBudget, describeWindow, renderReset } from "./window-text.ts";
import { parseWindow, type WindowWords } from "./window-words.ts";

function faultOf(words: WindowWords): string {
  const parsed = parseWindow(words);
  return "fault" in parsed ? parsed.fault : `no fault: ${parsed.window.key}`;
}

function wordsAt(words: WindowWords, time: string): [string, string, string | null] {
  const parsed = parseWindow(words);
  if ("fault" in parsed) throw new Error(parsed.fault);
  const timeMs = Date.parse(time);
  return [describeWindow(parsed.window, timeMs), describeBudget(parsed.window, timeMs), renderReset(parsed.window, timeMs)];
}

describe("what is refused", () => {
  it.each([
    ["Europe/Pariss", "Europe/Paris"],
    ["Paris", "Europe/Paris"],
    ["New York", "America/New_York"],
    ["America/NewYork", "America/New_York"],
    ["Asia/Kolkatta", "Asia/Kolkata"],
    ["US/Estern", "US/Eastern"],
  ])("the zone %s, for which %s is offered", (zone, near) => {
    expect(faultOf({ window: "day", zone })).toBe(`\`${zone}\` is not a time zone; write an IANA name such as Europe/Paris; did you mean \`${near}\`?`);
  });

  it("offsets and abbreviations that are no zones, without a guess", () => {
    expect(faultOf({ window: "day", zone: "+02:00" })).toBe("`+02:00` is not a time zone; write an IANA name such as Europe/Paris");
    expect(faultOf({ window: "day", zone: "" })).toBe("`` is not a time zone; write an IANA name such as Europe/Paris");
  });

  it.each([
    ["monthy", "did you mean `monthly`?"],
    ["weekl", "did you mean `week"],
    ["30D", "`30D` is not a window; write day, week, month, lifetime"],
    ["30days", "is not a window"],
    ["30", "is not a window"],
    ["", "`` is not a window"],
    ["constructor", "is not a window"],
    ["0d", "`0d` is empty; to block all spending set the amount to 0 instead"],
    ["2mo", "only 1mo is a window"],
    ["40000d", "longer than a hundred years"],
    ["rolling: day", "`day` is not a length"],
    ["rolling: 1mo", "cannot roll"],
    ["rolling: 0d", "between 1s and 366d"],
    ["rolling: 367d", "between 1s and 366d"],
  ])("the window %j", (text, fault) => {
    expect(faultOf(text)).toContain(fault);
  });

  it("settings that mean nothing together", () => {
    expect(faultOf({})).toBe("must have either `window` or `rolling`");
    expect(faultOf({ window: "day", rolling: "7d" })).toBe("must have either `window` or `rolling`");
    expect(faultOf({ window: "5h", resetTime: "06:00" })).toContain("a reset time means nothing for `5h`");
    expect(faultOf({ rolling: "7d", resetTime: "06:00" })).toContain("a reset time means nothing for `rolling: 7d`");
    expect(faultOf({ window: "day", resetTime: "24:00" })).toContain("`24:00` is not a time of day");
    expect(faultOf({ window: "week", anchor: "2026-11-17" })).toContain("an anchor means nothing for `week`");
    expect(faultOf({ window: "14d", anchor: "2026-02-30" })).toContain("`2026-02-30` is not a day");
  });
});

describe("what is taken", () => {
  it("zones in any case, UTC under all its names, and aliases under their own", () => {
    const keyOf = (zone: string) => faultOf({ window: "day", zone }).slice("no fault: ".length);
    expect([keyOf("europe/paris"), keyOf("utc"), keyOf("Etc/UTC"), keyOf("Asia/Kolkata"), keyOf("US/Eastern")]).toEqual(["day/Europe/Paris", "day/UTC", "day/UTC", "day/Asia/Kolkata", "day/US/Eastern"]);
  });

  it("rolling windows in either way of writing", () => {
    expect(["rolling: 7d", "rolling 7d", "Rolling:168h"].map(faultOf)).toEqual(Array.from({ length: 3 }, () => faultOf({ rolling: "1w" })));
  });
});

describe("what people read", () => {
  const zone = "Europe/Paris";
  it.each<[WindowWords, string, string, string | null]>([
    [{ window: "month", zone }, "November", "November", "1 Dec 00:00 Europe/Paris"],
    [{ window: "30d", zone }, "November", "November", "1 Dec 00:00 Europe/Paris"],
    [{ window: "week", zone }, "this week", "weekly", "30 Nov 00:00 Europe/Paris"],
    [{ window: "day", zone }, "today", "daily", "24 Nov 00:00 Europe/Paris"],
    [{ window: "day", zone, resetTime: "06:00" }, "the day from 23 Nov 06:00", "daily", "24 Nov 06:00 Europe/Paris"],
    [{ window: "14d", zone }, "the 14 days from 23 Nov", "14-day", "7 Dec 00:00 Europe/Paris"],
    [{ window: "730d", zone }, "the 730 days from 22 Dec", "730-day", "22 Dec 2027 00:00 Europe/Paris"],
    [{ window: "5h", zone }, "15:00 to 20:00", "5-hour", "23 Nov 20:00 Europe/Paris"],
    [{ window: "1h", zone }, "16:00 to 17:00", "hourly", "23 Nov 17:00 Europe/Paris"],
    [{ window: "90s", zone }, "16:19:30 to 16:20:30", "1-minute-30-second", "23 Nov 16:20:30 Europe/Paris"],
    [{ rolling: "7d", zone }, "the last 7 days", "rolling 7-day", "23 Nov 17:00 Europe/Paris"],
    [{ rolling: "24h", zone }, "the last 24 hours", "rolling 1-day", "23 Nov 16:30 Europe/Paris"],
    ["rolling: 1h", "the last hour", "rolling 1-hour", "23 Nov 15:20:30 UTC"],
    ["lifetime", "all time", "lifetime", null],
  ])("%j", (words, noun, adjective, reset) => {
    expect(wordsAt(words, "2026-11-23T15:20:10Z")).toEqual([noun, adjective, reset]);
  });

  it("an end on a day whose midnight is skipped is shown as the clocks show it", () => {
    expect(wordsAt({ window: "day", zone: "America/Santiago" }, "2026-09-05T12:00Z")[2]).toBe("6 Sep 01:00 America/Santiago");
  });
});
