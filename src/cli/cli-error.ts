/** What a command throws when it cannot go on: a sentence for a person, never a stack trace, and the exit code. */

/** Exit codes: 1 something failed, 2 the command line was wrong, 78 the configuration was (`EX_CONFIG` of sysexits.h). */
export const exitCodes = { failure: 1, usage: 2, config: 78 } as const;

/** A failure to be shown as it is. */
export class CliError extends Error {
  readonly exitCode: number;
  /** What to do about it, as a sentence; empty when there is nothing to add. */
  readonly mend: string;

  /** @param message names the flag, variable, file or address at fault; never holds a secret */
  constructor(message: string, options: { readonly mend?: string; readonly exitCode?: number } = {}) {
    super(message);
    this.name = "CliError";
    this.mend = options.mend ?? "";
    this.exitCode = options.exitCode ?? exitCodes.failure;
  }
}

/** Ends a command that has already shown what went wrong, or whose result is itself a failure. */
export class ShownFailure extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`);
    this.name = "ShownFailure";
    this.exitCode = exitCode;
  }
}

/** A wrong flag, argument or variable: exit code 2. */
export function usageError(message: string, mend = ""): CliError {
  return new CliError(message, { mend, exitCode: exitCodes.usage });
}

/** The message of anything thrown, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s*\n\s*/g, " ");
}

/** The system's error code (`ENOENT`, `ECONNREFUSED`), also of a wrapped cause; undefined when there is none. */
export function systemCodeOf(error: unknown): string | undefined {
  for (let current = error, depth = 0; typeof current === "object" && current !== null && depth < 5; depth++) {
    if ("code" in current && typeof current.code === "string") return current.code;
    if (current instanceof AggregateError && current.errors.length > 0) current = current.errors[0] as unknown;
    else current = "cause" in current ? current.cause : undefined;
  }
  return undefined;
}
