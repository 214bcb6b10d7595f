/**
 * Where log lines leave the process: a file descriptor, written in batches so that a request does not pay a system call for
 * its line. A reader that has gone takes no line and stops nothing: the gateway lives on, and ends when it is told to.
 */
import { write, writeSync } from "node:fs";
import type { Clock, Timer } from "../kernel/clock.ts";

/** Takes whole lines. */
export interface LogSink {
  write(line: string): void;
  /** Writes at once what waits, at most once; for the end of the process. */
  flush(): void;
}

const batchCharacters = 16 * 1024;
const waitMs = 250;
/** Beyond this, lines are dropped rather than kept for a reader that does not read. */
const waitingCharactersMax = 8 * 1024 * 1024;

/** @param descriptor an open file descriptor, for instance 1 */
export function createLogSink(descriptor: number, clock: Clock): LogSink {
  let waiting = "";
  let isWriting = false;
  let isGone = false;
  let timer: Timer | undefined;

  const send = (): void => {
    timer?.cancel();
    timer = undefined;
    if (isWriting || isGone || waiting === "") return;
    const bytes = Buffer.from(waiting);
    waiting = "";
    isWriting = true;
    writeFrom(bytes);
  };
  const writeFrom = (bytes: Buffer): void => {
    write(descriptor, bytes, (fault, written) => {
      if (fault !== null && fault.code !== "EAGAIN") {
        isGone = true;
        waiting = "";
        return;
      }
      const rest = bytes.subarray(fault === null ? written : 0);
      if (rest.length > 0) return void clock.after(fault === null ? 0 : waitMs, () => writeFrom(rest));
      isWriting = false;
      if (waiting.length >= batchCharacters) send();
      else if (waiting !== "") timer ??= clock.after(waitMs, send);
    });
  };

  return {
    write(line) {
      if (isGone || waiting.length > waitingCharactersMax) return;
      waiting += line;
      if (waiting.length >= batchCharacters) send();
      else timer ??= clock.after(waitMs, send);
    },
    flush() {
      if (isGone || waiting === "") return;
      try {
        writeSync(descriptor, waiting);
      } catch {
        // Nobody reads any more; at the end of the process nobody can be told.
      }
      waiting = "";
    },
  };
}
