/**
 * Counters and histograms in Prometheus' text format (version 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/,
 * checked 2026-11). Labels come from closed lists only, never from a request, so the number of series is bounded whatever
 * clients send. Own code, because the five shapes needed here are a few lines, and a registry library costs 7 MB of memory.
 */

/** A finished request, as the metrics see it. */
export interface FinishedRequest {
  readonly operation: "messages" | "count_tokens";
  readonly status: number;
  readonly blame: "client" | "upstream" | "gateway" | "none";
  readonly firstEventMs: number | undefined;
  readonly overheadMs: number | undefined;
  readonly durationMs: number;
}

/** A session's prompt cache that was not read as expected. Names are those of the configuration. */
export interface CacheMissed {
  readonly target: string;
  readonly model: string;
  readonly reason: "vanished" | "moved";
}

/** A try after one that failed: at another target, at the same one, for another model, or at the same one with a beta less. */
export interface TriedAgain {
  readonly kind: "failover" | "retry" | "fallback" | "without_beta";
  /** The one that failed, by the operator's id. */
  readonly target: string;
}

/** How the last readings of the configuration went. */
export interface ConfigStatus {
  /** Since the start, which is none of them. */
  readonly reloads: number;
  readonly failures: number;
  /** The last one failed: an earlier configuration than the files' is in force. */
  readonly isFailed: boolean;
  /** Wall time at which the one in force was read, milliseconds. */
  readonly lastSuccessMs: number;
  /** Keys of which the files say something else than what is in force, until a restart. */
  readonly needsRestart: readonly string[];
}

/** How targets are, by their ids, which are the operator's. */
export interface RoutingStatus {
  /** Models of which the circuit is not closed. */
  readonly circuits: readonly { readonly target: string; readonly state: "open" | "half-open" }[];
  readonly openings: ReadonlyMap<string, number>;
  /** Left of the budget of retries. */
  readonly retryTokens: number;
}

/** Values read when somebody asks. */
export interface MetricSources {
  readonly journalDepth: () => number;
  /** While it rejects, the last known number stands. */
  readonly unresolvedAttempts: () => number | Promise<number>;
  readonly requestsInFlight: () => number;
  /** Attempts that left while the store could not be written, ever. */
  readonly failOpenAttempts: () => number;
  /** Calls go on now although the store cannot be written. */
  readonly isFailingOpen: () => boolean;
  readonly config: () => ConfigStatus;
  readonly routing: () => RoutingStatus;
  /** Mean delay of the event loop since the last reading, seconds. */
  readonly loopLagSeconds: () => number;
}

export interface Metrics {
  requestFinished(request: FinishedRequest): void;
  cacheMissed(miss: CacheMissed): void;
  triedAgain(tried: TriedAgain): void;
  streamOpened(): void;
  streamClosed(): void;
  connect(sources: MetricSources): void;
  /** The exposition text and its content type. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
}

const secondsBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128];
const overheadBuckets = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

export function createMetrics(): Metrics {
  const requests = new Map<string, number>();
  const cacheMisses = new Map<string, number>();
  const furtherTries = new Map<string, number>();
  const firstEvent = createHistogram("tollgate_first_event_seconds", "From dispatch to the first event of the reply.", secondsBuckets);
  const overhead = createHistogram("tollgate_overhead_seconds", "Time spent inside the gateway before the reply was committed.", overheadBuckets);
  const duration = createHistogram("tollgate_request_seconds", "Whole requests.", secondsBuckets);
  let openStreams = 0;
  let unresolved = 0;
  let sources: MetricSources | undefined;

  return {
    requestFinished({ operation, status, blame, firstEventMs, overheadMs, durationMs }) {
      const series = `operation="${operation}",status="${status}",blame="${blame}"`;
      requests.set(series, (requests.get(series) ?? 0) + 1);
      duration.observe(durationMs / 1000);
      if (firstEventMs !== undefined) firstEvent.observe(firstEventMs / 1000);
      if (overheadMs !== undefined) overhead.observe(overheadMs / 1000);
    },
    cacheMissed({ target, model, reason }) {
      const series = `target="${escaped(target)}",model="${escaped(model)}",reason="${reason}"`;
      cacheMisses.set(series, (cacheMisses.get(series) ?? 0) + 1);
    },
    triedAgain({ kind, target }) {
      const series = `kind="${kind}",target="${escaped(target)}"`;
      furtherTries.set(series, (furtherTries.get(series) ?? 0) + 1);
    },
    streamOpened: () => void (openStreams += 1),
    streamClosed: () => void (openStreams -= 1),
    connect: (given) => void (sources = given),
    async render() {
      unresolved = await readUnresolved(sources, unresolved);
      const counts = [...requests].map(([series, count]) => `tollgate_requests_total{${series}} ${count}`);
      const lines = [
        ...header("tollgate_requests_total", "Finished requests by operation, status and blame.", "counter"),
        ...counts,
        ...header("tollgate_cache_miss_unexpected_total", "Replies that read less than half of what their session's prompt cache should have given.", "counter"),
        ...[...cacheMisses].map(([series, count]) => `tollgate_cache_miss_unexpected_total{${series}} ${count}`),
        ...header("tollgate_further_tries_total", "Tries after one that failed, by the target that failed.", "counter"),
        ...[...furtherTries].map(([series, count]) => `tollgate_further_tries_total{${series}} ${count}`),
        ...firstEvent.lines(),
        ...overhead.lines(),
        ...duration.lines(),
        ...gauge("tollgate_open_streams", "Streams being passed now.", openStreams),
      ];
      if (sources !== undefined) {
        const { reloads, failures, isFailed, lastSuccessMs, needsRestart } = sources.config();
        lines.push(
          ...header("tollgate_config_reloads_total", "Readings of the configuration after the start.", "counter"),
          `tollgate_config_reloads_total{result="ok"} ${reloads - failures}`,
          `tollgate_config_reloads_total{result="failed"} ${failures}`,
          ...gauge("tollgate_config_reload_failed", "1 while the configuration's files cannot be used and an earlier state of them is in force.", isFailed ? 1 : 0),
          ...gauge("tollgate_config_last_success_timestamp_seconds", "When the configuration in force was read.", lastSuccessMs / 1000),
          ...gauge("tollgate_config_needs_restart", "Keys of the configuration that wait for a restart.", needsRestart.length),
          ...gauge("tollgate_journal_depth", "Ledger writes waiting in memory.", sources.journalDepth()),
          ...gauge("tollgate_unresolved_attempts", "Attempts whose cost is unknown after a crash.", unresolved),
          ...gauge("tollgate_failing_open", "1 while calls go on although the store cannot be written.", sources.isFailingOpen() ? 1 : 0),
          ...header("tollgate_fail_open_attempts_total", "Attempts that left while the store could not be written.", "counter"),
          `tollgate_fail_open_attempts_total ${sources.failOpenAttempts()}`,
          ...routingLines(sources.routing()),
          ...gauge("tollgate_requests_in_flight", "Requests in work now.", sources.requestsInFlight()),
          ...gauge("tollgate_event_loop_lag_seconds", "Mean event-loop delay since the last reading.", sources.loopLagSeconds()),
        );
      }
      return { contentType: "text/plain; version=0.0.4; charset=utf-8", text: `${lines.join("\n")}\n` };
    },
  };
}

function routingLines({ circuits, openings, retryTokens }: RoutingStatus): string[] {
  const counts = new Map<string, number>();
  for (const { target, state } of circuits) {
    const series = `target="${escaped(target)}",state="${state}"`;
    counts.set(series, (counts.get(series) ?? 0) + 1);
  }
  return [
    ...header("tollgate_circuits", "Models at a target whose circuit is not closed.", "gauge"),
    ...[...counts].map(([series, count]) => `tollgate_circuits{${series}} ${count}`),
    ...header("tollgate_circuit_openings_total", "How often circuits of a target have opened, or begun to wait for a quota.", "counter"),
    ...[...openings].map(([target, count]) => `tollgate_circuit_openings_total{target="${escaped(target)}"} ${count}`),
    ...gauge("tollgate_retry_budget_tokens", "Retries that may be made now.", retryTokens),
  ];
}

/** As the format wants label values. */
function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}

async function readUnresolved(sources: MetricSources | undefined, last: number): Promise<number> {
  try {
    return (await sources?.unresolvedAttempts()) ?? last;
  } catch {
    return last;
  }
}

function header(name: string, help: string, type: "counter" | "gauge" | "histogram"): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function gauge(name: string, help: string, value: number): string[] {
  return [...header(name, help, "gauge"), `${name} ${value}`];
}

/** @param buckets upper bounds, rising; the last bucket, `+Inf`, is implied */
function createHistogram(name: string, help: string, buckets: readonly number[]): { observe(value: number): void; lines(): string[] } {
  const counts = new Float64Array(buckets.length + 1);
  let sum = 0;
  return {
    observe(value) {
      let index = 0;
      while (index < buckets.length && value > buckets[index]!) index += 1;
      counts[index]! += 1;
      sum += value;
    },
    lines() {
      let total = 0;
      const bucketLines = [...counts].map((count, index) => {
        total += count;
        return `${name}_bucket{le="${buckets[index] ?? "+Inf"}"} ${total}`;
      });
      return [...header(name, help, "histogram"), ...bucketLines, `${name}_sum ${sum}`, `${name}_count ${total}`];
    },
  };
}
