/**
 * Counters and histograms for Prometheus. Labels come from closed lists only, never from a request, so the number of series
 * is bounded whatever clients send.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** A finished request, as the metrics see it. */
export interface FinishedRequest {
  readonly operation: "messages" | "count_tokens";
  readonly status: number;
  readonly blame: "client" | "upstream" | "gateway" | "none";
  readonly firstEventMs: number | undefined;
  readonly overheadMs: number | undefined;
  readonly durationMs: number;
}

/** Values read when somebody asks. */
export interface MetricSources {
  readonly journalDepth: () => number;
  readonly unresolvedAttempts: () => number;
  readonly requestsInFlight: () => number;
  /** Mean delay of the event loop since the last reading, seconds. */
  readonly loopLagSeconds: () => number;
}

export interface Metrics {
  requestFinished(request: FinishedRequest): void;
  streamOpened(): void;
  streamClosed(): void;
  connect(sources: MetricSources): void;
  /** The exposition text and its content type. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
}

const secondsBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128];
const overheadBuckets = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({ name: "tollgate_requests_total", help: "Finished requests by operation, status and blame.", labelNames: ["operation", "status", "blame"], registers });
  const firstEvent = new Histogram({ name: "tollgate_first_event_seconds", help: "From dispatch to the first event of the reply.", buckets: secondsBuckets, registers });
  const overhead = new Histogram({ name: "tollgate_overhead_seconds", help: "Time spent inside the gateway before the reply was committed.", buckets: overheadBuckets, registers });
  const duration = new Histogram({ name: "tollgate_request_seconds", help: "Whole requests.", buckets: secondsBuckets, registers });
  const streams = new Gauge({ name: "tollgate_open_streams", help: "Streams being passed now.", registers });
  let openStreams = 0;
  const counts = new Map<string, { inc(): void }>();

  return {
    requestFinished({ operation, status, blame, firstEventMs, overheadMs, durationMs }) {
      const series = `${operation} ${status} ${blame}`;
      let count = counts.get(series);
      if (count === undefined) counts.set(series, (count = requests.labels(operation, String(status), blame)));
      count.inc();
      duration.observe(durationMs / 1000);
      if (firstEventMs !== undefined) firstEvent.observe(firstEventMs / 1000);
      if (overheadMs !== undefined) overhead.observe(overheadMs / 1000);
    },
    streamOpened: () => void (openStreams += 1),
    streamClosed: () => void (openStreams -= 1),
    connect(sources) {
      const gauge = (name: string, help: string, read: () => number): void => {
        new Gauge({ name, help, registers, collect() { this.set(read()); } });
      };
      gauge("tollgate_journal_depth", "Ledger writes waiting in memory.", sources.journalDepth);
      gauge("tollgate_unresolved_attempts", "Attempts whose cost is unknown after a crash.", sources.unresolvedAttempts);
      gauge("tollgate_requests_in_flight", "Requests in work now.", sources.requestsInFlight);
      gauge("tollgate_event_loop_lag_seconds", "Mean event-loop delay since the last reading.", sources.loopLagSeconds);
    },
    async render() {
      streams.set(openStreams);
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
