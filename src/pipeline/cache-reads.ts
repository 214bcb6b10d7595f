/**
 * Reads of prompt caches, expected against reported: what an attempt should read is known when it is opened, and a session whose reads
 * are lost is told by the ledger, the metrics and the log.
 */
import { formatUsd, nanoFromPico, picoUsd } from "../kernel/money.ts";
import type { Usage } from "../kernel/usage.ts";
import type { CacheMiss } from "../ledger/usage-store.ts";
import { lostReads } from "../metering/cache-reads.ts";
import { priceUsage } from "../metering/pricing.ts";
import type { AttemptOpening } from "./books.ts";
import { conversationOf } from "./estimates.ts";
import type { Attempt, CachedPrompt, Exchange, Planned } from "./exchange.ts";
import { pricingContext } from "./pricing-context.ts";
import type { Services } from "./services.ts";

/** Undefined for calls of no session, whose turns nobody can tell apart. */
export function cachedPrompt({ estimates }: Services, { facts, payload, route }: Planned, opening: AttemptOpening): CachedPrompt | undefined {
  const conversation = conversationOf(opening);
  const shape = conversation === undefined ? undefined : facts.promptShape(payload.bytes);
  if (shape === undefined) return undefined;
  const call = { thread: `${conversation} ${opening.model} ${shape.mark}`, targetId: opening.targetId, messagesBytes: shape.messagesBytes, atMs: opening.openedAtMs };
  return { call, expected: estimates.cacheReads.expected(call), configuredModel: route.model.name };
}

/** Raises `cache_miss_unexpected` where an attempt that has ended lost what it should have read. */
export function noteCacheMiss(services: Services, exchange: Exchange, attempt: Attempt, usage: Usage): CacheMiss | undefined {
  const expected = attempt.prompt?.expected;
  const lost = expected === undefined ? undefined : lostReads(expected, usage);
  if (expected === undefined || lost === undefined) return undefined;
  const { opening, planned } = attempt;
  const context = pricingContext(exchange.snapshot, planned);
  const more = priceUsage({ ...context, usage }).costPicoUsd - priceUsage({ ...context, usage: lost.usageAsExpected }).costPicoUsd;
  // An operator may have priced reads above writes.
  const costNanoUsd = nanoFromPico(picoUsd(more > 0n ? more : 0n));
  services.metrics.cacheMissed({ target: planned.target.id, model: attempt.prompt!.configuredModel, reason: lost.reason });
  if (services.estimates.cacheReads.isToTell(`${opening.keyId} ${opening.sessionId ?? ""}`, services.clock.now())) {
    services.log.warn(
      {
        code: "cache_miss_unexpected",
        reason: lost.reason,
        requestId: exchange.requestId,
        keyId: opening.keyId,
        sessionId: opening.sessionId ?? undefined,
        model: opening.model,
        targetId: planned.target.id,
        expectedTokens: expected.tokens,
        readTokens: lost.readTokens,
        costsMoreUsd: formatUsd(costNanoUsd, 6),
      },
      "a session's prompt cache was not read as expected; more of it is counted without a word for an hour",
    );
  }
  return { reason: lost.reason, lostTokens: lost.tokens, costNanoUsd };
}
