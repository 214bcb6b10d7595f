/** Turns the samples of a run into medians, tables and the result file. */
import { execFileSync } from "node:child_process";
import { cpus, release } from "node:os";
import { closedLoopCases, fixedRateCases, streamsCases } from "./cases.ts";
import type { ContenderName } from "./contenders.ts";
import { findTool } from "./processes.ts";
import { median } from "./statistics.ts";
import { judge } from "./targets.ts";
import type { Figures, Verdict } from "./targets.ts";

/** Collects the values of every round under one key per figure. */
export class Samples {
  readonly #values = new Map<string, number[]>();

  /** Adds one round's value; undefined and NaN mean that there is none. */
  add(figure: string, value: number | undefined): void {
    if (value === undefined || Number.isNaN(value)) return;
    const values = this.#values.get(figure) ?? [];
    values.push(value);
    this.#values.set(figure, values);
  }

  /** The newest value; NaN when there is none. */
  last(figure: string): number {
    return this.#values.get(figure)?.at(-1) ?? Number.NaN;
  }

  /** Every value, in the order of the rounds. */
  all(): Readonly<Record<string, readonly number[]>> {
    return Object.fromEntries(this.#values);
  }

  medians(): Figures {
    return Object.fromEntries([...this.#values].map(([figure, values]) => [figure, median(values)]));
  }
}

/** Where and with what a run was made. */
export interface Environment {
  readonly date: string;
  readonly processor: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
  readonly haproxy: string;
}

/** What the result file holds. */
export interface Result {
  readonly command: string;
  readonly rounds: number;
  readonly isLoggingRequests: boolean;
  readonly environment: Environment;
  readonly medians: Figures;
  readonly verdicts: readonly Verdict[];
  readonly samples: Readonly<Record<string, readonly number[]>>;
}

/** Reads the versions of the machine and the programs. */
export function environment(): Environment {
  const version = execFileSync(findTool("haproxy") ?? "haproxy", ["-v"], { encoding: "utf8" });
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    kernel: release(),
    node: process.version,
    haproxy: /version (\S+)/.exec(version)?.[1] ?? "unknown",
  };
}

/** Puts a result together. */
export function makeResult(samples: Samples, about: Pick<Result, "command" | "rounds" | "isLoggingRequests">): Result {
  const medians = samples.medians();
  return { ...about, environment: environment(), medians, verdicts: judge(medians), samples: samples.all() };
}

type Row = readonly string[];

function show(value: number | undefined, digits = 0, suffix = ""): string {
  if (value === undefined) return "–";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) + suffix;
}

/** Values at least 100 as whole numbers, smaller ones with one decimal. */
function micros(value: number | undefined): string {
  return show(value, value !== undefined && value < 100 ? 1 : 0);
}

function percent(value: number | undefined): string {
  return value === undefined ? "–" : show(value * 100, 0, " %");
}

/** The first columns of every table hold names; the others hold figures. */
const textColumns = 2;

function table(rows: readonly Row[], isMarkdown: boolean): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const lines = rows.map((row) => {
    const cells = row.map((cell, column) => (column < textColumns ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)));
    return isMarkdown ? `| ${cells.join(" | ")} |` : cells.join("  ");
  });
  const rule = isMarkdown ? `|${widths.map((_, column) => (column < textColumns ? "---" : "--:")).join("|")}|` : widths.map((width) => "-".repeat(width)).join("  ");
  return [lines[0], rule, ...lines.slice(1)].join("\n");
}

const contenders: readonly ContenderName[] = ["direct", "haproxy", "tollgate"];
const titles: Readonly<Record<ContenderName, string>> = { direct: "direct", haproxy: "HAProxy", tollgate: "Tollgate" };

function closedLoopRows(figures: Figures): Row[] {
  const rows: Row[] = [["Closed loop", "", "CPU µs/request", "to HAProxy", "requests/s", "core used"]];
  for (const { name, label } of closedLoopCases) {
    for (const who of contenders) {
      const perSecond = figures[`${name}.${who}.perSecond`];
      if (perSecond === undefined) continue;
      const ratio = who === "tollgate" ? figures[`${name}.cpuRatio`] : undefined;
      const toPassThrough = figures[`${name}.toPassThroughRatio`];
      const shown = toPassThrough === undefined ? show(ratio, 2, "×") : `${show(toPassThrough, 2, "×")} of passing`;
      rows.push([label, titles[who], micros(figures[`${name}.${who}.cpuUs`]), shown, show(perSecond), percent(figures[`${name}.${who}.coreUse`])]);
    }
  }
  return rows;
}

function fixedRateRows(figures: Figures): Row[] {
  const rows: Row[] = [["Fixed rate, ms", "", "first byte p50", "whole p50", "whole p99", "added to direct", "added to HAProxy"]];
  for (const { name, label, perSecond } of fixedRateCases) {
    for (const who of contenders) {
      const key = `${name}.${who}`;
      if (figures[`${key}.p50Ms`] === undefined) continue;
      const added = who === "tollgate" ? figures[`${name}.addedOverHaproxyMs`] : undefined;
      const times = [figures[`${key}.firstByteP50Ms`], figures[`${key}.p50Ms`], figures[`${key}.p99Ms`], figures[`${key}.addedOverDirectMs`], added];
      rows.push([`${label}, ${perSecond}/s`, titles[who], ...times.map((each) => show(each, 2))]);
    }
  }
  return rows;
}

function streamsRows(figures: Figures): Row[] {
  const rows: Row[] = [["Paced streams", "", "first event p50 ms", "events/s", "CPU µs/event", "core used", "RSS MiB", "KiB/stream"]];
  for (const who of contenders) {
    const idle = figures[who === "tollgate" ? "idle.rssMib" : `idle.${who}.rssMib`];
    if (idle !== undefined) rows.push(["idle after warm-up", titles[who], "–", "–", "–", "–", show(idle, 1), "–"]);
  }
  for (const { name, label } of streamsCases) {
    for (const who of contenders) {
      const key = `${name}.${who}`;
      const events = figures[`${key}.eventsPerSecond`];
      if (events === undefined) continue;
      const perStream = figures[who === "tollgate" ? `${name}.rssPerStreamKib` : `${key}.rssPerStreamKib`];
      const cells = [show(figures[`${key}.firstByteP50Ms`], 2), show(events), micros(figures[`${key}.cpuUsPerEvent`]), percent(figures[`${key}.coreUse`])];
      rows.push([label, titles[who], ...cells, show(figures[`${key}.rssMib`], 1), show(perStream, 1)]);
    }
  }
  return rows;
}

function verdictRows(verdicts: readonly Verdict[]): Row[] {
  const rows: Row[] = [["Target", "limit", "measured", ""]];
  for (const { target, measured, outcome } of verdicts) {
    rows.push([target.label, `≤ ${target.limit} ${target.unit}`, show(measured, 2), outcome]);
  }
  return rows;
}

/** All tables of a run, for the terminal or as Markdown. */
export function tables(result: Result, isMarkdown: boolean): string {
  const figures = result.medians;
  const parts = [closedLoopRows(figures), fixedRateRows(figures), streamsRows(figures), verdictRows(result.verdicts)];
  const { date, processor, cores, kernel, node, haproxy } = result.environment;
  const stolen = figures["stolen"] === undefined ? "" : ` Median stolen CPU: ${percent(figures["stolen"])}.`;
  const about =
    `Measured on ${date} with \`${result.command}\`: medians of ${result.rounds} interleaved round(s); ${processor}, ` +
    `${cores} cores, Linux ${kernel}, Node ${node}, HAProxy ${haproxy}; request log ${result.isLoggingRequests ? "on" : "off"}.${stolen}`;
  const shown = parts.filter((rows) => rows.length > 1).map((rows) => table(rows, isMarkdown));
  return [isMarkdown ? about : about.replaceAll("`", ""), ...shown].join("\n\n");
}
