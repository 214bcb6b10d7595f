// Guarantee: spans and instants mean one thing, in UTC, or are refused.
import { describe, expect, it } from "vitest";
import { addPositiveSpan, addSpan, parseInstant } from "./durations.ts";

const at = (text: string): number => Date.parse(text);

describe("addSpan", () => {
  it.each([
    ["30s", "2026-01-31T10:00:30Z"],
    ["30m", "2026-01-31T10:30:00Z"],
    ["30h", "2026-02-01T16:00:00Z"],
    ["30d", "2026-03-02T10:00:00Z"],
    ["2w", "2026-02-14T10:00:00Z"],
    ["1mo", "2026-02-28T10:00:00Z"],
    ["13mo", "2027-02-28T10:00:00Z"],
    ["2mo", "2026-03-31T10:00:00Z"],
    ["0s", "2026-01-31T10:00:00Z"],
  ])("%s after 31 January is %s", (span, expected) => {
    expect(addSpan("duration", span, at("2026-01-31T10:00:00Z"))).toBe(at(expected));
  });

  it.each(["", "30", "d", "-1d", "1.5h", "1 d", "1D", "1y", "999999999d", "999999999mo", "101w1d"])("refuses %j, naming the field", (span) => {
    expect(() => addSpan("duration", span, 0)).toThrow(expect.objectContaining({ code: "client_field_invalid", details: { publicText: expect.stringMatching(/^duration: /) as unknown } }));
  });

  it("refuses an empty span where it would end something at once", () => {
    for (const span of ["0s", "0mo", "000d"]) expect(() => addPositiveSpan("duration", span, 0)).toThrow(expect.objectContaining({ code: "client_field_invalid" }));
  });
});

describe("parseInstant", () => {
  it.each([
    ["2026-01-31", "2026-01-31T00:00:00Z", true],
    ["2026-01-31T14:00", "2026-01-31T14:00:00Z", false],
    ["2026-01-31T14:00:01.5Z", "2026-01-31T14:00:01.500Z", false],
    ["2026-01-31 14:00:00", "2026-01-31T14:00:00Z", false],
    ["2026-01-31T14:00:00+02:00", "2026-01-31T12:00:00Z", false],
    ["2026-01-31T14:00:00 02:00", "2026-01-31T12:00:00Z", false],
  ])("%s is %s", (text, expected, isDay) => {
    expect(parseInstant("since", text)).toEqual({ ms: at(expected), isDay });
  });

  it.each(["", "yesterday", "2026-02-30", "2026-13-01", "31.01.2026", "2026-01-31T25:00", "1700000000000", "2026-01-31T14"])("refuses %j", (text) => {
    expect(() => parseInstant("since", text)).toThrow(expect.objectContaining({ code: "client_field_invalid" }));
  });
});
