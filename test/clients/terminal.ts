/**
 * A terminal for a client that draws on one: util-linux's `script` gives it a pseudo-terminal, and a small screen here keeps what a
 * person would see. It knows what Claude Code writes, and passes over the rest.
 */
import { spawn, spawnSync } from "node:child_process";

/** A program on a terminal. */
export interface Terminal {
  /** What stands on the screen now, rows without their trailing blanks. */
  screen(): string;
  /** Waits until the screen has what is wanted. @throws with the screen when it does not come in time */
  until(wanted: RegExp, timeoutMs?: number): Promise<string>;
  /** All that was ever written to it, colours included. */
  written(): string;
  /** As if somebody typed it. */
  type(text: string): void;
  close(): Promise<void>;
}

/** How a program is started on it. */
export interface TerminalOptions {
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Whether this machine has util-linux's `script`; that of other systems has other flags. */
export const hasTerminal = spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes("util-linux") === true;

const columns = 160;
const rows = 50;

/** Starts a program; it and what it started end with `close`. */
export function startTerminal({ command, cwd, env }: TerminalOptions): Terminal {
  const line = `stty rows ${rows} cols ${columns}; exec ${command.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(" ")}`;
  const child = spawn("script", ["-qfec", line, "/dev/null"], { cwd, env: { ...env, TERM: "xterm-256color" }, stdio: ["pipe", "pipe", "ignore"], detached: true });
  const ended = new Promise<void>((resolve) => void child.once("close", () => resolve()));
  const screen = new Screen();
  let written = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    written += text;
    screen.write(text);
  });
  child.stdin.on("error", () => undefined);
  return {
    screen: () => screen.text(),
    async until(wanted, timeoutMs = 30_000) {
      const end = performance.now() + timeoutMs;
      while (!wanted.test(screen.text())) {
        if (performance.now() > end || child.exitCode !== null) throw new Error(`the screen never had ${String(wanted)}:\n${screen.text()}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return screen.text();
    },
    written: () => written,
    type: (text) => void child.stdin.write(text),
    async close() {
      try {
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGTERM");
      } catch {
        // It ended by itself in this instant.
      }
      await ended;
    },
  };
}

/** Escape sequences: control sequences with their parameters, operating-system commands, and two-character ones. */
const sequence = /^\u001b(?:\[([?>=<]?)([\d;:]*)[ !$"']*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[P^_X][^\u001b]*\u001b\\|[()#%][\s\S]|[^[\]P^_X()#%])/;

/** Cells, a cursor, and the few movements of it that full-screen programs use. */
class Screen {
  #cells: string[][] = Array.from({ length: rows }, () => []);
  #row = 0;
  #column = 0;
  #pending = "";

  text(): string {
    return this.#cells.map((cells) => Array.from(cells, (cell) => cell ?? " ").join("").trimEnd()).join("\n").trimEnd();
  }

  write(text: string): void {
    let rest = this.#pending + text;
    this.#pending = "";
    while (rest !== "") {
      if (rest[0] === "\u001b") {
        const found = sequence.exec(rest);
        if (found === null) {
          this.#pending = rest;
          return;
        }
        if (found[3] !== undefined && found[1] === "") this.#control(found[3], (found[2] ?? "").split(";").map((number) => (number === "" ? 0 : Number(number))));
        rest = rest.slice(found[0].length);
      } else {
        const [character = ""] = rest;
        this.#put(character);
        rest = rest.slice(character.length);
      }
    }
  }

  #put(character: string): void {
    if (character === "\r") this.#column = 0;
    else if (character === "\n") this.#down();
    else if (character === "\b") this.#column = Math.max(0, this.#column - 1);
    else if (character >= " ") {
      if (this.#column >= columns) {
        this.#column = 0;
        this.#down();
      }
      this.#cells[this.#row]![this.#column++] = character;
    }
  }

  #down(): void {
    if (this.#row < rows - 1) this.#row++;
    else this.#cells = [...this.#cells.slice(1), []];
  }

  #control(kind: string, [first = 0, second = 0]: readonly number[]): void {
    const steps = Math.max(1, first);
    const moves: Readonly<Record<string, () => void>> = {
      A: () => (this.#row = Math.max(0, this.#row - steps)),
      B: () => (this.#row = Math.min(rows - 1, this.#row + steps)),
      C: () => (this.#column = Math.min(columns - 1, this.#column + steps)),
      D: () => (this.#column = Math.max(0, this.#column - steps)),
      E: () => ((this.#row = Math.min(rows - 1, this.#row + steps)), (this.#column = 0)),
      F: () => ((this.#row = Math.max(0, this.#row - steps)), (this.#column = 0)),
      G: () => (this.#column = steps - 1),
      d: () => (this.#row = steps - 1),
      H: () => ((this.#row = steps - 1), (this.#column = Math.max(1, second) - 1)),
      K: () => this.#eraseLine(first),
      J: () => this.#eraseScreen(first),
    };
    moves[kind]?.();
  }

  #eraseLine(how: number): void {
    const cells = this.#cells[this.#row]!;
    if (how !== 1) cells.length = how === 2 ? 0 : Math.min(cells.length, this.#column);
    else cells.fill(" ", 0, this.#column + 1);
  }

  #eraseScreen(how: number): void {
    if (how === 0) this.#eraseLine(0);
    for (let row = 0; row < rows; row++) if (how >= 2 || (how === 0 ? row > this.#row : row < this.#row)) this.#cells[row] = [];
  }
}
