/** `tollgate config check`: all errors of a file at once, each with its place; for a LiteLLM file what becomes of each key. */
import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import type { Command } from "commander";
import { exitCodes, ShownFailure, usageError } from "./cli-error.ts";
import { addConfigDiffCommand } from "./config-diff.ts";
import { addConfigReloadCommand } from "./config-reload.ts";
import { readConfiguration, type ConfigurationReport } from "./configuration.ts";
import type { CliContext, Output } from "./context.ts";
import { renderJson } from "./json.ts";
import { commaList } from "./key-fields.ts";
import { configPath, defaultConfigFile } from "./serve.ts";
import { formatNotice, renderTable } from "./text.ts";

interface CheckOptions {
  readonly acceptUnenforced?: readonly string[];
  readonly json?: boolean;
}

/** Adds `config` and its subcommands to the program. */
export function addConfigCommands(program: Command, context: CliContext): void {
  const config = program.command("config").description("Check a configuration file, compare two, or have the gateway read its own again.");
  config
    .command("check")
    .description("Show every error of a tollgate.yaml or a LiteLLM config.yaml with file, line and column.")
    .argument("[file]", `the file (else ./${defaultConfigFile})`)
    .option("--accept-unenforced <names>", "restrictions of a LiteLLM file that this build does not enforce and you accept, separated by commas", commaList)
    .option("--json", "print JSON")
    .action((file: string | undefined, options: CheckOptions) => check(file, options, context));
  addConfigDiffCommand(config, context);
  addConfigReloadCommand(config, context);
}

async function check(file: string | undefined, options: CheckOptions, context: CliContext): Promise<void> {
  const path = file === undefined ? configPath(undefined, context.cwd) : resolve(context.cwd, file);
  if (path === undefined) throw usageError(`There is no ./${defaultConfigFile} here, and no file was named.`, "Write one with `tollgate init`, or name one.");
  if (!existsSync(path)) throw usageError(`There is no file ${path}.`);
  const report = await readConfiguration({ path, env: context.env, acceptUnenforced: options.acceptUnenforced ?? [] });
  const shortName = relative(context.cwd, path);
  const name = shortName === "" || shortName.startsWith("..") ? path : shortName;
  if (options.json === true) context.output.print(renderJson({ file: path, ok: report.errors.length === 0, errors: report.errors, warnings: report.warnings, keys: report.keys }));
  else context.output.print(renderReport(name, report, context.output));
  if (report.errors.length > 0) throw new ShownFailure(exitCodes.config);
}

/** Table of keys, then errors and warnings in the order of the file, then one sentence. */
export function renderReport(name: string, report: ConfigurationReport, output: Pick<Output, "style">): string {
  const table = renderTable([{ title: "KEY" }, { title: "VERDICT" }, { title: "REASON" }], report.keys.map(({ key, verdict, reason }) => [key, verdict, reason]), output);
  const count = (number: number, word: string): string => `${number} ${word}${number === 1 ? "" : "s"}`;
  const verdict = report.errors.length > 0 ? `${count(report.errors.length, "error")}.` : report.warnings.length > 0 ? `valid, ${count(report.warnings.length, "warning")}.` : "valid.";
  return [
    ...(report.keys.length === 0 ? [] : [table, ""]),
    ...report.errors.map((notice) => `${output.style("red", "error")}    ${formatNotice(notice)}`),
    ...report.warnings.map((notice) => `${output.style("yellow", "warning")}  ${formatNotice(notice)}`),
    ...(report.errors.length + report.warnings.length === 0 ? [] : [""]),
    `${name}: ${verdict}`,
  ].join("\n");
}
