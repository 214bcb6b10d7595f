/** Runs wrk for one closed-loop window: written in C, it leaves the most of the load core to the mock upstream. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ClosedLoopCase } from "./cases.ts";
import type { Contender } from "./contenders.ts";
import { clientHeaders, requestBody } from "./payloads.ts";
import { BenchError, startPinned, stop } from "./processes.ts";

/** What one window gave. */
export interface WrkResult {
  /** Requests answered in full. */
  readonly requests: number;
  readonly durationMs: number;
}

/** One window to be run. */
export interface WrkWindow {
  readonly contender: Contender;
  readonly load: ClosedLoopCase;
  readonly seconds: number;
  readonly core: number;
  /** Where scripts and bodies are written. */
  readonly folder: string;
}

/** wrk's script: it prepares the request once and reports the totals as one line of JSON. */
function script(bodyFile: string, key: string): string {
  const headers = Object.entries({ ...clientHeaders, "x-api-key": key });
  return `local file = io.open(${JSON.stringify(bodyFile)}, "rb")
wrk.method = "POST"
wrk.path = "/v1/messages"
wrk.body = file:read("*a")
file:close()
${headers.map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`).join("\n")}
function done(summary)
  local e = summary.errors
  print(string.format('TOTALS {"requests":%d,"durationUs":%d,"errors":%d}',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
`;
}

/**
 * Runs one window to its end.
 *
 * @throws BenchError when any request failed: a window with failures measures the wrong thing
 */
export async function runWrk(window: WrkWindow): Promise<WrkResult> {
  const { contender, load } = window;
  const bodyFile = join(window.folder, `${load.name}.body`);
  const scriptFile = join(window.folder, `${load.name}.${contender.name}.lua`);
  writeFileSync(bodyFile, requestBody(load.reply, load.bodyBytes));
  writeFileSync(scriptFile, script(bodyFile, contender.key));
  const target = `http://127.0.0.1:${contender.port}/v1/messages`;
  const size = ["-t", "1", "-c", String(load.connections), "-d", `${window.seconds}s`, "--timeout", "10s"];
  const child = startPinned({ core: window.core, command: "wrk", args: [...size, "-s", scriptFile, target], stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout?.on("data", (piece: Buffer) => (output += piece.toString()));
  const timer = setTimeout(() => void stop(child, 500), (window.seconds + 15) * 1_000);
  await once(child, "close");
  clearTimeout(timer);
  const totals = /^TOTALS (.+)$/m.exec(output)?.[1];
  if (totals === undefined) throw new BenchError(`wrk gave no totals for ${load.name} at ${contender.name}:\n${output}`);
  const { requests, durationUs, errors } = JSON.parse(totals) as { requests: number; durationUs: number; errors: number };
  if (errors > 0 || requests === 0) {
    throw new BenchError(`${load.name} at ${contender.name}: ${errors} failures in ${requests} requests.`);
  }
  return { requests, durationMs: durationUs / 1_000 };
}
