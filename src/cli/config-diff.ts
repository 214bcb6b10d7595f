/** `tollgate config diff OLD NEW`: what changes for whom between two files. Nothing is asked of a gateway. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { diffConfigs, type ConfigChange } from "../config/diff.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { exitCodes, ShownFailure, usageError } from "./cli-error.ts";
import { readConfiguration } from "./configuration.ts";
import type { CliContext, Output } from "./context.ts";
import { renderJson } from "./json.ts";
import { commaList } from "./key-fields.ts";
import { formatNotice } from "./text.ts";

interface DiffOptions {
  readonly acceptUnenforced?: readonly string[];
  readonly json?: boolean;
}

/** @param config the command that it belongs to */
export function addConfigDiffCommand(config: Command, context: CliContext): void {
  config
    .command("diff")
    .description("Say what changes for whom from one configuration to another: models, targets, prices, budgets, limits, providers, settings.")
    .argument("<old>", "the file as it is")
    .argument("<new>", "the file as it is to be")
    .option("--accept-unenforced <names>", "restrictions of a LiteLLM file that this build does not enforce and you accept, separated by commas", commaList)
    .option("--json", "print JSON")
    .action(async (old: string, next: string, options: DiffOptions) => {
      const [before, after] = [await read(old, options, context), await read(next, options, context)];
      const changes = diffConfigs(before, after);
      context.output.print(options.json === true ? renderJson({ changes }) : renderChanges(changes, context.output));
    });
}

/** @throws ShownFailure with the errors of a file that is not valid shown */
async function read(file: string, options: DiffOptions, context: CliContext): Promise<GatewayConfig> {
  const path = resolve(context.cwd, file);
  if (!existsSync(path)) throw usageError(`There is no file ${path}.`);
  const { config, errors } = await readConfiguration({ path, env: context.env, acceptUnenforced: options.acceptUnenforced ?? [] });
  if (config !== undefined) return config;
  if (options.json === true) context.output.note(renderJson({ error: { message: `${path} is not valid`, notices: errors } }));
  else for (const error of errors) context.output.note(formatNotice(error));
  throw new ShownFailure(exitCodes.config);
}

const marks = { added: "+", removed: "-", changed: "~" } as const;
const colours = { added: "green", removed: "red", changed: "yellow" } as const;

/** One line a change. */
export function renderChanges(changes: readonly Pick<ConfigChange, "change" | "text">[], output: Pick<Output, "style">): string {
  if (changes.length === 0) return "Nothing changes.";
  return changes.map(({ change, text }) => `${output.style(colours[change], marks[change])} ${text}`).join("\n");
}
