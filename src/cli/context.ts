/**
 * What a command may touch of the process it runs in, passed in as one thing: so that commands are functions that tests
 * can call, and `process` and `console` are read in this file only.
 */
import { homedir } from "node:os";
import type { Readable } from "node:stream";
import { styleText } from "node:util";
import { systemClock, type Clock } from "../kernel/clock.ts";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** How a piece of text is to stand out, where the terminal can show it. */
export type TextStyle = "bold" | "dim" | "green" | "yellow" | "red";

/** Where a command writes. */
export interface Output {
  /** Results, to standard output, one line or several. */
  print(text: string): void;
  /** Remarks, to standard error, so that they never mix with results. */
  note(text: string): void;
  /** `text` as it is unless standard output is a terminal with colours. */
  style(style: TextStyle, text: string): string;
}

/** Everything a command gets from outside. */
export interface CliContext {
  readonly env: Environment;
  readonly cwd: string;
  readonly homeDir: string;
  readonly clock: Clock;
  readonly output: Output;
  /** Opens standard input; undefined where nobody but a terminal writes to it. */
  readonly input?: () => Readable | undefined;
}

/** The real process. */
export function processContext(): CliContext {
  // `styleText` leaves the codes out when the stream is no terminal, and when NO_COLOR or NODE_DISABLE_COLORS is set.
  const style = (format: TextStyle, text: string): string => styleText(format, text, { stream: process.stdout });
  return {
    env: process.env,
    cwd: process.cwd(),
    homeDir: homedir(),
    clock: systemClock,
    input: () => (process.stdin.isTTY ? undefined : process.stdin),
    output: { print: (text) => console.log(text), note: (text) => console.error(text), style },
  };
}
