/**
 * The promises that the benchmark checks, in one table, so that a reader finds every limit in one place and
 * `--assert` has nothing to invent. Each row names the figure by its key in the result file.
 */

/** One limit on one measured figure. */
export interface Target {
  /** Key in {@link Figures}; a target whose figure was not measured in this run is skipped, and said so. */
  readonly figure: string;
  readonly label: string;
  readonly limit: number;
  readonly unit: "×" | "ms" | "KiB" | "MiB";
}

/** Measured figures by key; each is the median over the rounds. */
export type Figures = Readonly<Record<string, number>>;

/** What became of one target in this run. */
export interface Verdict {
  readonly target: Target;
  readonly measured: number | undefined;
  readonly outcome: "met" | "missed" | "not measured";
}

/** Every limit, with the journal on and the request log at its default. CPU ratios compare against HAProxy in the same round. */
export const targets: readonly Target[] = [
  { figure: "json-1k.cpuRatio", label: "CPU per request, 1 KB, against HAProxy", limit: 6, unit: "×" },
  { figure: "sse-burst.cpuRatio", label: "CPU per request, SSE burst, against HAProxy", limit: 8, unit: "×" },
  { figure: "json-100k.cpuRatio", label: "CPU per request, 100 KB, against HAProxy", limit: 9, unit: "×" },
  { figure: "json-1m.cpuRatio", label: "CPU per request, 1 MB, against HAProxy", limit: 8, unit: "×" },
  { figure: "bedrock-burst.toPassThroughRatio", label: "CPU per request, SSE burst from Bedrock, against passing it through", limit: 1.5, unit: "×" },
  { figure: "latency-1k.addedOverHaproxyMs", label: "p50 at a fixed rate, 1 KB, above HAProxy's", limit: 0.3, unit: "ms" },
  { figure: "streams-500.rssPerStreamKib", label: "memory per stream, 500 streams", limit: 64, unit: "KiB" },
  { figure: "streams-2000.rssPerStreamKib", label: "memory per stream, 2,000 streams", limit: 64, unit: "KiB" },
  { figure: "idle.rssMib", label: "idle memory after warm-up", limit: 120, unit: "MiB" },
];

/**
 * Holds the measured figures against the table.
 *
 * @param figures medians of this run; a key may be absent when its case was not run
 */
export function judge(figures: Figures): readonly Verdict[] {
  return targets.map((target) => {
    const measured = figures[target.figure];
    if (measured === undefined || Number.isNaN(measured)) return { target, measured: undefined, outcome: "not measured" };
    return { target, measured, outcome: measured <= target.limit ? "met" : "missed" };
  });
}
