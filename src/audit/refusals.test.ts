// Guarantee: every refusal is counted once, and however many there are, the store sees a bounded number of records.
import { describe, expect, it } from "vitest";
import { refusalKindsMax } from "../kernel/bounds.ts";
import { manualClock } from "../kernel/clock.ts";
import { errorCodes } from "../kernel/error-codes.ts";
import type { AuditRecord } from "./record.ts";
import { createRefusalLog } from "./refusals.ts";

function setUp(): { clock: ReturnType<typeof manualClock>; log: ReturnType<typeof createRefusalLog>; batches: (readonly AuditRecord[])[]; failures: { left: number } } {
  const clock = manualClock();
  const batches: (readonly AuditRecord[])[] = [];
  const failures = { left: 0 };
  const log = createRefusalLog({
    clock,
    append: async (records) => {
      if (failures.left-- > 0) throw new Error("the disk is full");
      batches.push(records);
    },
  });
  return { clock, log, batches, failures };
}

function totalOf(batches: readonly (readonly AuditRecord[])[]): number {
  return batches.flat().reduce((sum, { details }) => sum + Number(details["count"]), 0);
}

describe("a refusal log", () => {
  it("writes one record for each code and key, every five seconds", async () => {
    const { clock, log, batches } = setUp();
    const startMs = clock.now();
    for (let index = 0; index < 10_000; index++) log.count("client_key_invalid", undefined);
    log.count("client_model_unavailable", "key_1");
    expect(batches).toEqual([]);
    clock.advance(5_000);
    await log.flush();
    expect(batches).toHaveLength(1);
    expect(batches[0]!.map(({ action, actor, details, atMs }) => ({ action, actor, details, atMs }))).toEqual([
      { action: "request.refused", actor: "unknown", details: { code: "client_key_invalid", count: 10_000, sinceMs: startMs }, atMs: startMs + 5_000 },
      { action: "request.refused", actor: "key_1", details: { code: "client_model_unavailable", count: 1, sinceMs: startMs }, atMs: startMs + 5_000 },
    ]);
  });

  it("writes nothing when nothing was refused", async () => {
    const { clock, log, batches } = setUp();
    clock.advance(60_000);
    await log.close();
    expect(batches).toEqual([]);
  });

  it("keeps a bounded number of kinds, and still counts every refusal", async () => {
    const { log, batches } = setUp();
    for (let index = 0; index < 3 * refusalKindsMax; index++) log.count(index % 2 === 0 ? "client_model_unavailable" : "client_field_invalid", `key_${index}`);
    await log.flush();
    expect(batches[0]!.length).toBeLessThanOrEqual(refusalKindsMax + Object.keys(errorCodes).length);
    expect(totalOf(batches)).toBe(3 * refusalKindsMax);
    expect(batches[0]!.filter(({ actor }) => actor === "several").map(({ details }) => details["count"])).toEqual([refusalKindsMax, refusalKindsMax]);
  });

  it("counts again what a failed write lost, once", async () => {
    const { log, batches, failures } = setUp();
    failures.left = 1;
    log.count("client_key_missing", undefined);
    await log.flush();
    log.count("client_key_missing", undefined);
    await log.flush();
    expect(batches).toHaveLength(1);
    expect(totalOf(batches)).toBe(2);
  });

  it("writes the rest when it closes, does not reject when it cannot, and stops its timer", async () => {
    const { clock, log, batches } = setUp();
    log.count("client_key_missing", undefined);
    await log.close();
    expect(totalOf(batches)).toBe(1);
    log.count("client_key_missing", undefined);
    clock.advance(60_000);
    await Promise.resolve();
    expect(batches).toHaveLength(1);
    const failing = setUp();
    failing.failures.left = 10;
    failing.log.count("client_key_missing", undefined);
    await expect(failing.log.close()).resolves.toBeUndefined();
  });
});
