/** Guarantee: only a large buffer that owns its memory is emptied; a small one and a view of another's are left alone. */
import { expect, it } from "vitest";
import { releaseMemory } from "./memory.ts";

it("empties a large buffer that owns its memory", () => {
  const bytes = Buffer.allocUnsafeSlow(64 * 1024);
  releaseMemory(bytes);
  expect(bytes.length).toBe(0);
  expect(() => releaseMemory(bytes)).not.toThrow();
});

it("leaves views and small buffers alone", () => {
  const shared = Buffer.allocUnsafeSlow(64 * 1024).fill(7);
  const view = shared.subarray(0, 32 * 1024);
  const small = Buffer.allocUnsafeSlow(1024);
  releaseMemory(view);
  releaseMemory(small);
  expect([shared.length, view.length, small.length]).toEqual([64 * 1024, 32 * 1024, 1024]);
  expect(shared.every((byte) => byte === 7)).toBe(true);
});
