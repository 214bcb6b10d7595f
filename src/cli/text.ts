/** How results are laid out for people and for spreadsheets: tables, CSV, numbers and dates. Pure functions. */
import { formatUsd, parseUsd } from "../kernel/money.ts";
import type { Output } from "./context.ts";

/** A column of a table. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/**
 * Text from elsewhere without control characters, so that a name chosen by somebody else cannot move the cursor or
 * colour the terminal.
 */
export function plainText(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, " ");
}

/**
 * Rows under aligned titles, no trailing spaces.
 *
 * @param rows one text per column; control characters are removed
 * @returns lines joined by newlines; only the titles when there are no rows
 */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], output: Pick<Output, "style">): string {
  const cells = rows.map((row) => columns.map((_, index) => plainText(row[index] ?? "")));
  const widths = columns.map((column, index) => Math.max(column.title.length, ...cells.map((row) => row[index]!.length)));
  const line = (texts: readonly string[]): string =>
    texts.map((text, index) => (columns[index]!.align === "right" ? text.padStart(widths[index]!) : text.padEnd(widths[index]!))).join("  ").trimEnd();
  return [output.style("bold", line(columns.map((column) => column.title))), ...cells.map(line)].join("\n");
}

/** `name  value` lines with aligned values; entries without a value are left out. */
export function renderFacts(facts: readonly (readonly [name: string, value: string])[], output: Pick<Output, "style">): string {
  const shown = facts.filter(([, value]) => value !== "");
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${output.style("dim", name.padEnd(width))}  ${plainText(value)}`).join("\n");
}

/**
 * RFC 4180 lines. Cells that a spreadsheet would run as a formula get a leading apostrophe: names in them come from
 * clients.
 */
export function renderCsv(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cell = (value: string | number): string => {
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) && !/^-?\d+(\.\d+)?$/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [header, ...rows].map((row) => row.map(cell).join(",")).join("\n");
}

/** An integer with thousands separated by commas. */
export function formatCount(value: number): string {
  return Math.round(value).toString().replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/**
 * Dollars for a table: exact to nano-USD, at least four digits after the point.
 *
 * @param value a decimal as the API gives it, a string or a JSON number
 * @returns `-` when there is no such number
 */
export function formatDollars(value: string | number | undefined): string {
  const amount = value === undefined ? undefined : parseUsd(String(value));
  return amount === undefined ? "-" : formatUsd(amount, 4);
}

/** Minutes are enough for tables: `2026-01-31 14:05` in UTC; the text itself when it is no date. */
export function formatInstant(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? text : new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}

/** An error or remark with its place, as compilers write it; parts that are unknown (0 or empty) are left out. */
export function formatNotice(notice: { readonly file: string; readonly line: number; readonly column: number; readonly path: string; readonly message: string }): string {
  const place = notice.line > 0 ? `${notice.file}:${notice.line}:${notice.column}` : notice.file;
  return [place, notice.path, notice.message].filter((part) => part !== "").join(": ");
}
