/**
 * Reads what Anthropic gives out about an organization's use of its API: the two CSV exports of the Claude Console, and the two reports
 * of the Usage & Cost Admin API as JSON. Columns may stand in any order, and ones that are not known are passed over; nothing is guessed.
 *
 * @source CSV of the Console's usage page (`claude_api_tokens_….csv`): columns and values as real exports show them, quoted in public
 *   projects that import them; days, or hours (`2026-03-31 02:00`). CSV of its cost page (`claude_api_cost_….csv`): likewise; dollars,
 *   models by their display names, `token_type` such as `input_no_cache`. All checked 2026-11-23; the Console's own page names no columns
 *   (https://support.claude.com/en/articles/9534590-cost-and-usage-reporting-in-the-claude-console).
 * @source JSON: https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages and
 *   https://platform.claude.com/docs/en/api/admin/cost_report, checked 2026-11-23: amounts are decimal strings in cents, and costs of
 *   the priority tier are not in them.
 */
import { nanoUsd } from "../kernel/money.ts";
import { zeroCounts } from "../kernel/usage.ts";
import { FileFault, parseCsv, type Cell } from "./csv.ts";
import { readAdminReport } from "./anthropic-report.ts";
import { amountOf, batchRemark, dayOf } from "./anthropic-values.ts";
import { webSearchModel, type BillEntry, type ProviderBill } from "./provider-bill.ts";

const usageColumns = ["usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h", "usage_input_tokens_cache_read", "usage_output_tokens"] as const;
const costColumns = ["usage_date_utc", "model", "token_type", "cost_usd"] as const;
const optionalColumns = ["workspace", "api_key", "usage_type", "web_search_count", "cost_type"] as const;

type Column = (typeof usageColumns)[number] | (typeof costColumns)[number] | (typeof optionalColumns)[number];

/**
 * @param text a whole file, CSV or JSON
 * @throws FileFault with line and column, or the path of a JSON value, of the first fault
 */
export function readAnthropicExport(text: string): ProviderBill {
  if (/^\uFEFF?\s*[[{]/.test(text)) return readAdminReport(text.replace(/^\uFEFF/, ""));
  const [header, ...records] = parseCsv(text);
  if (header === undefined) throw new FileFault("the file is empty");
  const kind = header.some(({ text: name }) => nameOf(name) === "cost_usd") ? "cost" : "usage";
  const columns = columnsOf(header, kind === "cost" ? costColumns : usageColumns);
  const entries: BillEntry[] = [];
  let batches = 0;
  for (const record of records) {
    if (record.length !== header.length) throw new FileFault(`there are ${record.length} values here, and ${header.length} columns`, { line: record[0]!.line, column: record.at(-1)!.column });
    const cells: Cells = (name) => record[columns.get(name) ?? -1];
    if (/batch/i.test(cells("usage_type")?.text ?? "")) batches++;
    else entries.push(kind === "cost" ? costEntry(cells) : usageEntry(cells));
  }
  return { kind, entries, remarks: batches === 0 ? [] : [batchRemark(batches)] };
}

type Cells = (name: Column) => Cell | undefined;

function nameOf(text: string): string {
  return text.trim().toLowerCase();
}

function columnsOf(header: readonly Cell[], needed: readonly Column[]): ReadonlyMap<Column, number> {
  const columns = new Map<Column, number>();
  for (const [index, { text, line, column }] of header.entries()) {
    const name = nameOf(text) as Column;
    if (columns.has(name)) throw new FileFault(`the column ${name} is there twice`, { line, column });
    if (needed.includes(name) || (optionalColumns as readonly string[]).includes(name)) columns.set(name, index);
  }
  const missing = needed.filter((name) => !columns.has(name));
  if (missing.length > 0) {
    throw new FileFault(`this is no usage or cost export of the Claude Console: there is no column ${missing.map((name) => `\`${name}\``).join(", ")}`, { line: header[0]!.line, column: 1 });
  }
  return columns;
}

function usageEntry(cells: Cells): BillEntry {
  const count = (name: Column): number => countOf(cells(name), name);
  return {
    ...commonOf(cells),
    model: needed(cells, "model_version"),
    counts: {
      input: count("usage_input_tokens_no_cache"),
      cacheRead: count("usage_input_tokens_cache_read"),
      cacheWrite5m: count("usage_input_tokens_cache_write_5m"),
      cacheWrite1h: count("usage_input_tokens_cache_write_1h"),
      output: count("usage_output_tokens"),
    },
    webSearches: count("web_search_count"),
    costNanoUsd: nanoUsd(0n),
    roundingNanoUsd: nanoUsd(0n),
  };
}

/** Costs that belong to no model are searches of the web or other tools. */
function costEntry(cells: Cells): BillEntry {
  const type = cells("cost_type")?.text.trim() ?? "";
  const isWebSearch = /web.?search/i.test(type) || /web.?search/i.test(cells("token_type")?.text ?? "");
  const model = cells("model")?.text.trim() ?? "";
  const cost = cells("cost_usd")!;
  const amount = amountOf(cost.text, 9);
  if (amount === undefined) throw new FileFault(`cost_usd: ${JSON.stringify(cost.text)} is not an amount of dollars`, cost);
  return { ...commonOf(cells), model: isWebSearch ? webSearchModel : model === "" ? `(${type === "" ? "no model" : type})` : modelIdOf(model), counts: zeroCounts, webSearches: 0, ...amount };
}

function commonOf(cells: Cells): Pick<BillEntry, "day" | "workspace" | "apiKey"> {
  const date = cells("usage_date_utc")!;
  const day = dayOf(date.text);
  if (day === undefined) throw new FileFault(`usage_date_utc: ${JSON.stringify(date.text)} is not a day such as 2026-01-31`, date);
  return { day, workspace: cells("workspace")?.text.trim() ?? "", apiKey: cells("api_key")?.text.trim() ?? "" };
}

function needed(cells: Cells, name: Column): string {
  const cell = cells(name)!;
  const text = cell.text.trim();
  if (text === "") throw new FileFault(`${name}: it is empty`, cell);
  return text;
}

/** An absent column, or an empty value, is 0. */
function countOf(cell: Cell | undefined, name: Column): number {
  const text = cell?.text.trim() ?? "";
  const count = text === "" ? 0 : Number(text);
  if (cell !== undefined && (!/^\d*$/.test(text) || !Number.isSafeInteger(count))) throw new FileFault(`${name}: ${JSON.stringify(cell.text)} is not a whole number`, cell);
  return count;
}

/** `Claude Haiku 4.5`, as the cost page writes it, is `claude-haiku-4-5`. */
function modelIdOf(name: string): string {
  return /^claude\s/i.test(name) ? name.toLowerCase().replaceAll(/[\s.]+/g, "-") : name;
}
