/** Composes the closing entry of an attempt from what was observed, and hands it to the journal; once per attempt, on every exit. */
import { priceUsage } from "../metering/pricing.ts";
import { nanoUsd, formatUsd } from "../kernel/money.ts";
import { totalCounts, zeroCounts, type Usage, type UsageSource } from "../kernel/usage.ts";
import type { AttemptOutcome } from "./books.ts";
import { noteCacheMiss } from "./cache-reads.ts";
import { chargeOf } from "./charge.ts";
import type { Attempt, Exchange, PlannedTarget } from "./exchange.ts";
import { settleHold } from "./holds.ts";
import { amountsOf } from "./limits.ts";
import { pricingContext } from "./pricing-context.ts";
import type { Services } from "./services.ts";

/**
 * What is known of the upstream's bill. `none`: it was never reached, or it refused. `unknown`: the connection broke after
 * the request and before a reply, so it may never have been read. `likely`: it had the request, and bills at least the input.
 */
export type Billing = "none" | "unknown" | "likely";

/** How an attempt ended, as its stage saw it. */
export interface Ending {
  readonly attempt: Attempt;
  readonly outcome: AttemptOutcome;
  /** Upstream's status, 0 for none. */
  readonly status: number;
  readonly billing: Billing;
  readonly firstEventMs: number | undefined;
  readonly responseBytes: number;
  readonly upstreamRequestId: string | undefined;
  /** It is given up for another target; absent: false. */
  readonly isWasted?: boolean;
}

/** Never throws and never waits: the journal keeps a closing until it is written. */
export function closeAttempt(services: Services, exchange: Exchange, ending: Ending): void {
  const { attempt } = ending;
  const { opening, planned, observer } = attempt;
  const usage = ending.billing === "likely" ? services.estimates.usage(attempt) : undefined;
  const price = usage === undefined ? undefined : priced(exchange, planned, usage);
  const costNanoUsd = price?.costNanoUsd ?? nanoUsd(0n);
  exchange.report.costUsd = formatUsd(costNanoUsd, 6);
  exchange.report.outcome = ending.outcome;
  const source = usage?.source ?? (ending.billing === "unknown" ? "unresolved" : "none");
  const isWasted = ending.isWasted === true;
  const { payer, charge } = chargeOf(exchange.snapshot.config.spending, opening, { cost: costNanoUsd, isWasted });
  services.routing.stats.end(planned.target.id);
  if (ending.firstEventMs !== undefined) services.routing.stats.noteFirstEvent(planned.target.id, ending.firstEventMs);
  settleHold(services, attempt, { charge, payer, source });
  noteTokens(services, exchange, attempt, { usage, source });
  services.estimates.learn(attempt);
  void services.books.closeEntry({
    attemptId: opening.attemptId,
    closedAtMs: services.clock.now(),
    outcome: ending.outcome,
    status: ending.status,
    source,
    counts: usage === undefined ? zeroCounts : totalCounts(usage),
    serverToolUses: usage?.serverToolUses ?? {},
    servedModel: observer.servedModel() ?? planned.upstreamModel,
    costNanoUsd,
    chargeNanoUsd: charge,
    payer,
    isWasted,
    priceRow: price?.priceRows ?? "",
    isProvisional: price?.isProvisional ?? false,
    isUnpriced: price?.isUnpriced ?? false,
    usageJson: observer.usageJson(),
    firstEventMs: ending.firstEventMs === undefined ? null : Math.round(ending.firstEventMs),
    durationMs: Math.round(services.clock.monotonic() - attempt.dispatchedAt),
    responseBytes: ending.responseBytes,
    upstreamRequestId: ending.upstreamRequestId ?? null,
    loss: attempt.loss.join(", "),
    cacheMiss: usage === undefined ? undefined : noteCacheMiss(services, exchange, attempt, usage),
  });
}

/** Frees the attempt's place under its target's limits, and adds to what the call has used. */
function noteTokens({ clock }: Services, { report, snapshot }: Exchange, { lease }: Attempt, { usage, source }: { readonly usage: Usage | undefined; readonly source: UsageSource }): void {
  const counts = usage === undefined ? zeroCounts : totalCounts(usage);
  const tokens = { input: counts.input + counts.cacheWrite5m + counts.cacheWrite1h, cacheRead: counts.cacheRead, output: counts.output };
  const isKnown = source !== "unresolved";
  lease?.end(isKnown ? amountsOf(snapshot, tokens) : undefined, clock.monotonic());
  const sum = report.tokens;
  report.tokens = sum === undefined || !isKnown ? undefined : { input: sum.input + tokens.input, cacheRead: sum.cacheRead + tokens.cacheRead, output: sum.output + tokens.output };
}

/** What the attempt costs by the prices of its snapshot. */
export function priced({ snapshot }: Exchange, target: PlannedTarget, usage: Usage): ReturnType<typeof priceUsage> {
  return priceUsage({ ...pricingContext(snapshot, target), usage });
}
