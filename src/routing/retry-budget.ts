/**
 * How many tries there may be beyond the first of each call: a share of the calls, and a burst. With everything down, retries would
 * otherwise multiply the load that keeps it down (https://sre.google/sre-book/handling-overload/, checked 2026-11).
 */
import type { RoutingConfig } from "../config/gateway-config.ts";

export interface RetryBudget {
  /** One more call of a client's. */
  call(): void;
  /** @returns false when there is none left; then nothing is taken */
  take(): boolean;
  /** Tokens, fractional. */
  left(): number;
}

/** @param inForce what there may be now; tokens that are left stay as far as they still may */
export function createRetryBudget(inForce: () => RoutingConfig["retryBudget"]): RetryBudget {
  let tokens = inForce().burst;
  return {
    call() {
      const { tokensPerCall, burst } = inForce();
      tokens = Math.min(burst, tokens + tokensPerCall);
    },
    take() {
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
    left: () => tokens,
  };
}
