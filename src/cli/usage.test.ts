// Guarantees that times on the command line mean what they say, and that no group or doubt is lost in the display.
import { describe, expect, it } from "vitest";
import { parseInstant, renderUsageCsv, renderUsageTable } from "./usage.ts";

const plain = { style: (_: string, text: string): string => text };
const nowMs = Date.UTC(2026, 0, 31, 12);

describe("parseInstant", () => {
  it("reads spans as that long ago", () => {
    expect(["30m", "24h", "7d", "2w"].map((text) => nowMs - parseInstant(text, "--since", nowMs))).toEqual([1_800_000, 86_400_000, 604_800_000, 1_209_600_000]);
  });

  it("reads dates and times without a zone as UTC", () => {
    expect(parseInstant("2026-01-31", "--since", nowMs)).toBe(Date.UTC(2026, 0, 31));
    expect(parseInstant("2026-01-31T08:30", "--since", nowMs)).toBe(Date.UTC(2026, 0, 31, 8, 30));
    expect(parseInstant("2026-01-31T08:30+02:00", "--since", nowMs)).toBe(Date.UTC(2026, 0, 31, 6, 30));
  });

  it.each(["yesterday", "7", "d7", "2026-13-01", "2026-1-1", "-7d", ""])("refuses %j and names the flag", (text) => {
    expect(() => parseInstant(text, "--until", nowMs)).toThrow(/--until/);
  });
});

const group = { value: "h1", label: "ci", attempts: 2, input_tokens: 1200, cache_read_tokens: 30, cache_write_5m_tokens: 4, cache_write_1h_tokens: 5, output_tokens: 60, cost_usd: "0.0123", charge_usd: "0.0123", reported_usd: "0.0123", estimated_usd: "0", adjusted_usd: "0", wasted_usd: "0", notional_usd: "0", unresolved_usd: "0", unresolved_attempts: 0, unpriced_attempts: 0, expected_cache_read_tokens: 0, lost_cache_read_tokens: 0, cache_misses: 0, moved_cache_misses: 0, cache_miss_usd: "0" };

describe("renderUsageTable", () => {
  it("shows a single group without a total line", () => {
    const lines = renderUsageTable({ by: "key", groups: [group] }, "key", plain).split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[1]!.split(/ {2,}/)).toEqual(["ci", "2", "1,200", "30", "4", "5", "60", "0.0123"]);
  });

  it("sums exactly where the gateway gives no total, and names groups without a value", () => {
    const text = renderUsageTable({ groups: [group, { ...group, value: "", label: "", cost_usd: "0.0000001", charge_usd: "0.0000001" }] }, "team", plain);
    expect(text).toMatch(/\(unattributed\)/);
    expect(text).toMatch(/total +4 .* 0\.0123001$/);
  });

  it("ends with what the gateway cannot tell any more", () => {
    const text = renderUsageTable({ groups: [group], notes: ["The ledger has attempts before 2026-01-01 as sums of whole days (UTC)."] }, "key", plain);
    expect(text.split("\n").at(-1)).toBe("The ledger has attempts before 2026-01-01 as sums of whole days (UTC).");
  });

  it("adds a column for each doubt there is", () => {
    const text = renderUsageTable({ groups: [{ ...group, estimated_usd: "0.001", unresolved_attempts: 1 }] }, "key", plain);
    expect(text).toMatch(/OF IT ESTIMATED +UNRESOLVED$/m);
    expect(text).not.toMatch(/UNPRICED/);
  });

  it("shows what prompt caches should have given only where reads were lost", () => {
    const cache = { expected_cache_read_tokens: 60_000, lost_cache_read_tokens: 50_000, cache_misses: 1, moved_cache_misses: 0, cache_miss_usd: "0.2875" };
    expect(renderUsageTable({ groups: [{ ...group, expected_cache_read_tokens: 60_000, cache_misses: 0 }] }, "key", plain)).not.toMatch(/MISSES/);
    const lines = renderUsageTable({ groups: [{ ...group, ...cache }, { ...group, ...cache, cache_misses: 2, moved_cache_misses: 2 }] }, "key", plain).split("\n");
    expect(lines[0]).toMatch(/COST USD +EXPECTED READ +MISSES +COST OF MISSES$/);
    expect(lines[1]).toMatch(/ 60,000 +1 +0\.2875$/);
    expect(lines[3]).toMatch(/^total .* 120,000 +3 +0\.5750$/);
    expect(lines[4]).toBe("3 attempts (2 of them at another target than the call before) read less than half of what the session's prompt cache should have given, and cost $0.5750 more for it.");
    expect(renderUsageTable({ groups: [{ ...group, ...cache }] }, "key", plain)).toMatch(/\n1 attempt read less than half .* cost \$0\.2875 more for it\.$/);
  });

  it("shows agents below their sessions and developers, each with all that is below it", () => {
    const at = (path: readonly string[], charge_usd: string): Record<string, unknown> => ({ ...group, value: JSON.stringify(path), label: JSON.stringify(path), attempts: 1, charge_usd, cost_usd: charge_usd });
    const groups = [at(["ann", "s1", ""], "1"), at(["ann", "s1", "a1"], "2"), at(["ann", "s2", ""], "4"), at(["bo", "", ""], "0.5")];
    const lines = renderUsageTable({ groups, total: { ...group, attempts: 4, charge_usd: "7.5", cost_usd: "7.5" } }, "agent", plain).split("\n").slice(1);
    expect(lines.map((line) => /^( *\(?\w+(?: loop)?\)?) .* ([\d.]+)$/.exec(line)?.slice(1))).toEqual([["ann", "7.0000"], ["  s2", "4.0000"], ["  s1", "3.0000"], ["    a1", "2.0000"], ["    (main loop)", "1.0000"], ["bo", "0.5000"], ["  (unattributed)", "0.5000"], ["total", "7.5000"]]);
    expect(renderUsageCsv({ groups }, "agent").split("\n").slice(0, 3).map((line) => line.split(",").slice(0, 4).join())).toEqual(["developer,session,agent,attempts", "ann,s1,,1", "ann,s1,a1,1"]);
  });

  it("says of tags that they overlap", () => {
    expect(renderUsageTable({ groups: [group, group], total: group }, "tag", plain)).toMatch(/An attempt with several tags stands under each of them; the total has it once\.$/);
  });

  it("says so when there is nothing", () => {
    expect(renderUsageTable({ groups: [] }, "key", plain)).toBe("No usage.");
  });

  it("says which time it covers, and in which zone", () => {
    const period = { sinceMs: Date.UTC(2026, 0, 1), untilMs: nowMs };
    expect(renderUsageTable({ groups: [group] }, "key", plain, period).split("\n")[0]).toBe("From 2026-01-01 00:00 to 2026-01-31 12:00 (UTC).");
    expect(renderUsageTable({ groups: [] }, "key", plain, period)).toBe("From 2026-01-01 00:00 to 2026-01-31 12:00 (UTC).\nNo usage.");
  });

  it("says of simulated attempts that they are no money", () => {
    expect(renderUsageTable({ groups: [group], simulated_attempts: 1 }, "key", plain)).toMatch(/\nThe built-in demo answered 1 attempt; it is a simulation and costs nothing\.$/);
    expect(renderUsageTable({ groups: [group], simulated_attempts: 0 }, "key", plain)).not.toMatch(/demo/);
  });
});

describe("renderUsageCsv", () => {
  it("has one line per group with every member", () => {
    const [header, line, ...rest] = renderUsageCsv({ groups: [group] }, "key").split("\n");
    expect(header).toBe("key,label,attempts,input_tokens,cache_read_tokens,cache_write_5m_tokens,cache_write_1h_tokens,output_tokens,cost_usd,charge_usd,reported_usd,estimated_usd,adjusted_usd,wasted_usd,notional_usd,unresolved_usd,unresolved_attempts,unpriced_attempts,expected_cache_read_tokens,lost_cache_read_tokens,cache_misses,moved_cache_misses,cache_miss_usd");
    expect(line).toBe("h1,ci,2,1200,30,4,5,60,0.0123,0.0123,0.0123,0,0,0,0,0,0,0,0,0,0,0,0");
    expect(rest).toEqual([]);
  });
});
