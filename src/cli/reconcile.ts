/** `tollgate reconcile`: a provider's own figures against the ledger. The file is read here; the gateway gets sums by day and model. */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Option, type Command } from "commander";
import { readAnthropicExport } from "../reconcile/anthropic-export.ts";
import { dayOf } from "../reconcile/anthropic-values.ts";
import { FileFault } from "../reconcile/csv.ts";
import { sumBill, type BillEntry, type ProviderBill } from "../reconcile/provider-bill.ts";
import { CliError, exitCodes, ShownFailure, usageError } from "./cli-error.ts";
import { adminClient, withConnection, type ConnectionOptions } from "./connection.ts";
import type { CliContext, Output } from "./context.ts";
import { listOf, numberOf, objectOf, renderJson, textOf, type JsonObject } from "./json.ts";
import { formatCount, formatDollars, formatNotice, plainText, renderTable, type Column } from "./text.ts";

/** A month of hours, keys and models is a few megabytes. */
const fileBytesMax = 64 * 1024 * 1024;
const namesShownMax = 8;

interface ReconcileCommandOptions extends ConnectionOptions {
  readonly provider: string;
  readonly file: string;
  readonly since?: string;
  readonly until?: string;
  readonly workspace?: string;
  readonly apiKey?: string;
  readonly apply?: boolean;
}

/** Adds `reconcile` to the program. */
export function addReconcileCommand(program: Command, context: CliContext): void {
  const command = program
    .command("reconcile")
    .description("Hold the ledger against a provider's own figures, day by day and model by model, and name every difference.")
    .requiredOption("--provider <name>", "a provider of the gateway's configuration, of kind anthropic")
    .requiredOption("--file <file>", "usage or cost export of the Claude Console (CSV), or a usage or cost report of the Admin API (JSON)")
    .option("--since <day>", "first day, UTC (else the file's first)")
    .option("--until <day>", "last day, UTC, included (else the file's last)")
    .option("--workspace <name>", "only the file's lines of this workspace")
    .option("--api-key <name>", "only the file's lines of this API key: the one that the gateway uses")
    .addOption(new Option("--apply", "book what the file proves about unresolved and estimated attempts").default(false))
    .addHelpText("after", "\nExit code 1 when a difference stays. Without --apply nothing changes.\n\n  tollgate reconcile --provider anthropic --file claude_api_tokens_2026_10.csv --api-key gateway");
  withConnection(command).action(async (options: ReconcileCommandOptions) => reconcile(options, context));
}

async function reconcile(options: ReconcileCommandOptions, context: CliContext): Promise<void> {
  const { text, path } = await readExport(resolve(context.cwd, options.file));
  const bill = parseExport(text, options.file);
  const entries = chosen(bill, options);
  const days = entries.map(({ day }) => day).toSorted();
  const [since, until] = [dayOption(options.since, "--since") ?? days[0], dayOption(options.until, "--until") ?? days.at(-1)];
  if (since === undefined || until === undefined) throw new CliError(`${options.file} has no lines.`, { mend: "Name the days with --since and --until to see what the ledger has." });
  if (since > until) throw usageError("--since must not be after --until.");
  const body = {
    provider: options.provider,
    kind: bill.kind,
    since,
    until,
    lines: sumBill(entries.filter(({ day }) => day >= since && day <= until)).map((line) => ({
      day: line.day,
      model: line.model,
      input_tokens: line.counts.input,
      cache_read_tokens: line.counts.cacheRead,
      cache_write_5m_tokens: line.counts.cacheWrite5m,
      cache_write_1h_tokens: line.counts.cacheWrite1h,
      output_tokens: line.counts.output,
      web_searches: line.webSearches,
      cost_nano_usd: String(line.costNanoUsd),
      rounding_nano_usd: String(line.roundingNanoUsd),
      entries: line.entries,
    })),
    apply: options.apply === true,
    file: basename(path).slice(0, 256),
    file_sha256: createHash("sha256").update(text).digest("hex"),
  };
  const report = objectOf(await (await adminClient(options, context)).call("POST", "/api/v1/reconcile", body));
  if (options.json === true) context.output.print(renderJson({ ...report, remarks: bill.remarks }));
  else context.output.print([...bill.remarks, renderReconciliation(report, context.output), ...mixedRemark(entries, options)].join("\n"));
  if (report.is_settled !== true) throw new ShownFailure(exitCodes.failure);
}

async function readExport(path: string): Promise<{ readonly text: string; readonly path: string }> {
  try {
    const { size } = await stat(path);
    if (size > fileBytesMax) throw usageError(`--file: ${path} is larger than ${fileBytesMax / 1024 / 1024} MiB.`, "Take fewer days at a time.");
    return { text: await readFile(path, "utf8"), path };
  } catch (fault) {
    if (fault instanceof CliError) throw fault;
    throw usageError(`--file: ${path} cannot be read (${fault instanceof Error && "code" in fault ? String(fault.code) : "unknown reason"}).`);
  }
}

function parseExport(text: string, file: string): ProviderBill {
  try {
    return readAnthropicExport(text);
  } catch (fault) {
    if (!(fault instanceof FileFault)) throw fault;
    throw new CliError(formatNotice({ file, line: fault.line, column: fault.column, path: fault.path, message: plainText(fault.message) }), { mend: "docs/reconcile.md says which files can be read, and where they come from." });
  }
}

/** The lines that were asked for; a name that the file does not have is a slip. */
function chosen({ entries }: ProviderBill, { workspace, apiKey }: ReconcileCommandOptions): readonly BillEntry[] {
  const filters = [["--workspace", workspace, (entry: BillEntry) => entry.workspace], ["--api-key", apiKey, (entry: BillEntry) => entry.apiKey]] as const;
  return filters.reduce<readonly BillEntry[]>((left, [flag, wanted, nameOf]) => {
    if (wanted === undefined) return left;
    const found = left.filter((entry) => nameOf(entry) === wanted);
    if (found.length === 0) throw usageError(`${flag}: the file has no line of ${JSON.stringify(wanted)}.`, `It has ${namesOf(left, nameOf)}.`);
    return found;
  }, entries);
}

function namesOf(entries: readonly BillEntry[], nameOf: (entry: BillEntry) => string): string {
  const names = [...new Set(entries.map(nameOf))].toSorted();
  const shown = names.slice(0, namesShownMax).map((name) => (name === "" ? "lines without one" : JSON.stringify(plainText(name))));
  return `${shown.join(", ")}${names.length > namesShownMax ? ` and ${names.length - namesShownMax} more` : names.length === 0 ? "no lines" : ""}`;
}

/** Usage of several keys is seldom all one gateway's. */
function mixedRemark(entries: readonly BillEntry[], { apiKey, workspace }: ReconcileCommandOptions): readonly string[] {
  if (apiKey === undefined && new Set(entries.map((entry) => entry.apiKey)).size > 1) return [`The file has lines of several API keys: ${namesOf(entries, (entry) => entry.apiKey)}. Name the gateway's with --api-key.`];
  if (workspace === undefined && new Set(entries.map((entry) => entry.workspace)).size > 1) return [`The file has lines of several workspaces: ${namesOf(entries, (entry) => entry.workspace)}. Name the gateway's with --workspace.`];
  return [];
}

function dayOption(text: string | undefined, flag: string): string | undefined {
  if (text !== undefined && dayOf(text) !== text) throw usageError(`${flag} is not a day: ${JSON.stringify(text)}.`, "Write it like 2026-01-31.");
  return text;
}

const countMembers = [["input", "input_tokens"], ["cache read", "cache_read_tokens"], ["cache write 5m", "cache_write_5m_tokens"], ["cache write 1h", "cache_write_1h_tokens"], ["output", "output_tokens"], ["web searches", "web_searches"]] as const;

/** A table of both sides, then each difference with its reasons, then what was or would be booked. */
export function renderReconciliation(report: JsonObject, output: Pick<Output, "style">): string {
  const lines = listOf(report.lines).map(objectOf);
  const isUsage = textOf(report.kind) === "usage";
  const unit = isUsage ? "TOKENS" : "USD";
  const columns: Column[] = [{ title: "DAY" }, { title: "MODEL" }, { title: `LEDGER ${unit}`, align: "right" }, { title: `PROVIDER ${unit}`, align: "right" }, { title: "DIFFERENCE", align: "right" }, ...(isUsage ? [{ title: "LEDGER USD", align: "right" } as const] : []), { title: "" }];
  const shown = (side: unknown): string => (isUsage ? formatCount(tokensOf(objectOf(side))) : formatDollars(textOf(objectOf(side).cost_usd)));
  const rows = lines.map((line) => [
    textOf(line.day),
    textOf(line.model),
    shown(line.ledger),
    shown(line.provider),
    signed(shown(line.difference)),
    ...(isUsage ? [formatDollars(textOf(objectOf(line.ledger).cost_usd))] : []),
    line.agrees === true ? "agrees" : "differs",
  ]);
  return [
    `${textOf(report.provider)}, ${textOf(report.since)} to ${textOf(report.until)} (UTC).`,
    lines.length === 0 ? "Neither the ledger nor the file has anything." : renderTable(columns, rows, output),
    ...lines.flatMap(describeLine),
    describeCorrections(report),
  ].join("\n");
}

function tokensOf(side: JsonObject): number {
  return countMembers.slice(0, 5).reduce((sum, [, member]) => sum + numberOf(side[member]), 0);
}

function signed(text: string): string {
  return /^-|^0(?:\.0+)?$/.test(text) ? text : `+${text}`;
}

function describeLine(line: JsonObject): readonly string[] {
  const reasons = listOf(line.reasons).map(objectOf);
  if (reasons.length === 0) return [];
  const difference = objectOf(line.difference);
  const parts = countMembers.flatMap(([name, member]) => (numberOf(difference[member]) === 0 ? [] : [`${name} ${signed(formatCount(numberOf(difference[member])))}`]));
  const corrections = listOf(line.corrections).length;
  return [
    `${textOf(line.day)} ${plainText(textOf(line.model))}${parts.length === 0 ? "" : `: ${parts.join(", ")}`}`,
    ...reasons.map((reason) => `  ${textOf(reason.text)}.`),
    ...(corrections === 0 ? [] : [`  ${corrections} ${corrections === 1 ? "attempt" : "attempts"} to correct, by ${signed(formatDollars(textOf(line.delta_usd)))} USD.`]),
  ];
}

function describeCorrections(report: JsonObject): string {
  const corrections = objectOf(report.corrections);
  const attempts = numberOf(corrections.attempts);
  const what = `${attempts} ${attempts === 1 ? "attempt" : "attempts"} by ${signed(textOf(corrections.delta_usd))} USD`;
  if (attempts === 0) return report.agrees === true ? "Ledger and provider agree." : "Nothing can be corrected by these figures.";
  if (corrections.is_applied === true) return `Booked: ${what}, as adjusting entries.`;
  const reason = textOf(corrections.reason);
  return reason === "" ? `--apply corrects ${what}.` : `Not corrected: ${reason}.`;
}
