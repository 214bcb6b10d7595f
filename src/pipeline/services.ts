/** What the stages may use besides the request itself; made once in `main.ts`. */
import type { RefusalLog } from "../audit/refusals.ts";
import type { Dialer } from "../egress/dialer.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Limiter } from "../limits/limiter.ts";
import type { Authenticator } from "../identity/authenticate.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { BetaMemory } from "../routing/beta-memory.ts";
import type { RoutingState } from "../routing/state.ts";
import type { Books } from "./books.ts";
import type { Estimates } from "./estimates.ts";
import type { StreamWatch } from "./stream-watch.ts";

export interface Services {
  readonly clock: Clock;
  readonly authenticator: Authenticator;
  readonly books: Books;
  readonly ledger: Ledger;
  readonly estimates: Estimates;
  readonly limiter: Limiter;
  readonly dialer: Dialer;
  readonly watch: StreamWatch;
  readonly refusals: RefusalLog;
  readonly betaMemory: BetaMemory;
  readonly routing: RoutingState;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Requests in work now, in all and of each key that has any, and ever begun. */
  readonly load: { inFlight: number; total: number; readonly byKey: Map<string, number> };
}
