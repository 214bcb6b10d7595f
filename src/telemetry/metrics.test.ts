// Guarantee: the metrics are what Prometheus reads, cumulative buckets included, and their number is bounded.
import { expect, it } from "vitest";
import { createMetrics } from "./metrics.ts";

it("counts requests by operation, status and blame, and times into cumulative buckets", async () => {
  const metrics = createMetrics();
  const finished = { operation: "messages", status: 200, blame: "none", firstEventMs: 60, overheadMs: 0.3, durationMs: 300_000 } as const;
  metrics.requestFinished(finished);
  metrics.requestFinished({ ...finished, firstEventMs: undefined, durationMs: 50 });
  metrics.requestFinished({ ...finished, status: 401, blame: "client" });
  metrics.cacheMissed({ target: 'a"b', model: "claude-*", reason: "moved" });
  metrics.cacheMissed({ target: 'a"b', model: "claude-*", reason: "moved" });
  metrics.triedAgain({ kind: "failover", target: 'a"b' });
  metrics.triedAgain({ kind: "failover", target: 'a"b' });
  metrics.streamOpened();
  metrics.connect({ journalDepth: () => 3, unresolvedAttempts: () => 2, requestsInFlight: () => 1, failOpenAttempts: () => 4, isFailingOpen: () => true, config: () => ({ reloads: 3, failures: 1, isFailed: true, lastSuccessMs: 1_500, needsRestart: [] }), routing: () => ({ circuits: [{ target: 'a"b', state: "open" }, { target: 'a"b', state: "open" }, { target: "c", state: "half-open" }], openings: new Map([["c", 3]]), retryTokens: 7.5 }), loopLagSeconds: () => 0.5 });
  const { text, contentType } = await metrics.render();
  expect(contentType).toContain("version=0.0.4");
  const lines = text.split("\n");
  for (const line of [
    'tollgate_requests_total{operation="messages",status="200",blame="none"} 2',
    'tollgate_requests_total{operation="messages",status="401",blame="client"} 1',
    'tollgate_first_event_seconds_bucket{le="0.05"} 0',
    'tollgate_first_event_seconds_bucket{le="0.1"} 2',
    "tollgate_first_event_seconds_count 2",
    'tollgate_request_seconds_bucket{le="0.05"} 1',
    'tollgate_request_seconds_bucket{le="128"} 1',
    'tollgate_request_seconds_bucket{le="+Inf"} 3',
    "tollgate_open_streams 1",
    "tollgate_journal_depth 3",
    'tollgate_cache_miss_unexpected_total{target="a\\"b",model="claude-*",reason="moved"} 2',
    'tollgate_further_tries_total{kind="failover",target="a\\"b"} 2',
    "tollgate_fail_open_attempts_total 4",
    "tollgate_failing_open 1",
    'tollgate_config_reloads_total{result="ok"} 2',
    'tollgate_config_reloads_total{result="failed"} 1',
    "tollgate_config_reload_failed 1",
    "tollgate_config_last_success_timestamp_seconds 1.5",
    "tollgate_event_loop_lag_seconds 0.5",
  ]) {
    expect(lines).toContain(line);
  }
  expect(lines.every((line) => line === "" || /^(?:# (?:HELP|TYPE) [a-z_]+ .+|[a-z_]+(?:\{[^{}]*\})? [0-9.e+-]+)$/.test(line))).toBe(true);
});
