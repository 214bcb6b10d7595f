// Guarantee: lines are JSON, one each, whatever stands in a field; and a reader that has gone stops nothing.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { manualClock } from "../kernel/clock.ts";
import { createLog } from "./log.ts";
import { createLogSink } from "./log-sink.ts";

it("writes one line a record, with line breaks and control characters escaped", () => {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-log-"));
  const descriptor = openSync(join(folder, "log"), "w");
  const log = createLog({ level: "info", requests: true }, createLogSink(descriptor, manualClock()), manualClock());
  log.request({ model: 'a\r\n{"level":"error"}\u001b[31m', status: 200 });
  log.info({}, "text\nwith a break");
  log.flush();
  const lines = readFileSync(join(folder, "log"), "utf8").trimEnd().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(["request", "text\nwith a break"]);
  closeSync(descriptor);
  rmSync(folder, { recursive: true });
});

it("is silent about requests where the configuration says so", () => {
  const lines: string[] = [];
  const log = createLog({ level: "info", requests: false }, { write: (line) => void lines.push(line), flush: () => {} }, manualClock());
  log.request({ status: 200 });
  log.warn({}, "kept");
  expect(lines).toHaveLength(1);
});

it.each([
  ["info", ["info", "warn", "error"]],
  ["warn", ["warn", "error"]],
  ["silent", []],
] as const)("at level %s, lines below it are left out", (level, kept) => {
  const lines: string[] = [];
  const log = createLog({ level, requests: true }, { write: (line) => void lines.push(line), flush: () => {} }, manualClock(0));
  log.info({ absent: undefined }, "a");
  log.warn({}, "a");
  log.error({}, "a");
  expect(lines).toEqual(kept.map((name) => `{"level":"${name}","time":"1970-01-01T00:00:00.000Z","msg":"a"}\n`));
});

it("ends without waiting when the descriptor is no longer open", () => {
  const sink = createLogSink(9_999, manualClock());
  sink.write("a\n");
  sink.flush();
  sink.write("b\n");
  sink.flush();
});

it("writes from the next line on what a changed configuration says", () => {
  const lines: string[] = [];
  const log = createLog({ level: "warn", requests: true }, { write: (line) => void lines.push(line), flush: () => {} }, manualClock(0));
  log.info({}, "one");
  log.configure({ level: "info", requests: false });
  log.info({}, "two");
  log.request({});
  log.configure({ level: "silent", requests: true });
  log.error({}, "three");
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(["two"]);
});
