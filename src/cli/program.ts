/** The command line as a whole: which commands there are, how errors look, and which exit code they end in. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addBudgetCommands } from "./budget.ts";
import { addClaudeCommand } from "./claude.ts";
import { CliError, exitCodes, messageOf, ShownFailure } from "./cli-error.ts";
import { addConfigCommands } from "./config.ts";
import { processContext, type CliContext } from "./context.ts";
import { addDoctorCommand } from "./doctor.ts";
import { addInitCommand } from "./init.ts";
import { renderJson } from "./json.ts";
import { addKeysCommands } from "./keys.ts";
import { addReconcileCommand } from "./reconcile.ts";
import { addServeCommand } from "./serve.ts";
import { addStatuslineCommand } from "./statusline.ts";
import { addRouteCommand } from "./route.ts";
import { addUsageCommand } from "./usage.ts";

/** This package's version. */
export function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { readonly version: string };
  return manifest.version;
}

/**
 * Runs one command.
 *
 * @param args without node and script
 * @returns the exit code; errors are shown, not thrown
 */
export async function run(args: readonly string[], context: CliContext): Promise<number> {
  const isJson = args.includes("--json");
  const complaints: string[] = [];
  const program = buildProgram(context, (text) => complaints.push(text.trimEnd()));
  try {
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      if (isJson) showFailure(new CliError(error.message.replace(/^error: /, "")), isJson, context);
      else context.output.note(complaints.join("\n"));
      return exitCodes.usage;
    }
    if (error instanceof ShownFailure) return error.exitCode;
    const failure = error instanceof CliError ? error : new CliError(`Unexpected failure: ${messageOf(error)}`);
    showFailure(failure, isJson, context);
    return failure.exitCode;
  }
}

/** Runs the command in `process.argv` and sets the exit code. */
export async function runFromProcess(): Promise<void> {
  // A reader that has seen enough (`| head`) closes the pipe; that is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  process.exitCode = await run(process.argv.slice(2), processContext());
}

/** @param complain takes what is wrong with the command line, piece by piece */
function buildProgram(context: CliContext, complain: (text: string) => void): Command {
  const program = new Command("tollgate")
    .description("LLM gateway: Claude Code and other clients to their models, authenticated and metered to the token.")
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    // Options of a command stand behind its name, so that `tollgate claude -p …` hands -p through.
    .enablePositionalOptions()
    .showHelpAfterError("(--help shows what there is)")
    .exitOverride()
    .configureOutput({ writeOut: (text) => context.output.print(text.trimEnd()), writeErr: complain });
  addServeCommand(program, context);
  addInitCommand(program, context);
  addConfigCommands(program, context);
  addKeysCommands(program, context);
  addUsageCommand(program, context);
  addRouteCommand(program, context);
  addReconcileCommand(program, context);
  addBudgetCommands(program, context);
  addStatuslineCommand(program, context);
  addClaudeCommand(program, context);
  addDoctorCommand(program, context);
  return program;
}

function showFailure(failure: CliError, isJson: boolean, context: CliContext): void {
  if (isJson) context.output.note(renderJson({ error: { message: failure.message, ...(failure.mend === "" ? {} : { mend: failure.mend }) } }));
  else context.output.note(`tollgate: ${failure.message}${failure.mend === "" ? "" : `\n  ${failure.mend}`}`);
}
