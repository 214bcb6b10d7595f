/** Where a call would go now, and why, in values that people and programs can read. */
import type { FailureClass, Fallbacks, RoutingStrategy } from "../config/gateway-config.ts";
import type { CircuitState } from "./health.ts";

/** Whose call it would be. */
export interface RouteQuestion {
  readonly model: string;
  readonly sessionId: string | null;
  /** Beside those of the key. */
  readonly tags: readonly string[];
  /** Tokens of the prompt; undefined: a short one. */
  readonly inputTokens: number | undefined;
  /** The caller sends a provider's login beside the key, for targets with `credential: client`. */
  readonly hasOwnLogin: boolean;
  /** Models that the key may not use are named; to others they are the same as none. */
  readonly isForOperator: boolean;
}

/** A target of the model. */
export interface ExplainedTarget {
  readonly id: string;
  readonly provider: string;
  /** The provider's name of the model. */
  readonly model: string;
  readonly priority: number;
  readonly weight: number;
  /** From 1; undefined: it would not be tried. */
  readonly place: number | undefined;
  readonly circuit: CircuitState;
  /** Open for a quota that says when it is there again. */
  readonly isParked: boolean;
  readonly lastFailure: FailureClass | undefined;
  /** While the circuit is not closed: time until it may be tried. */
  readonly opensInMs: number | undefined;
  /** The session's prompt cache is warm there. */
  readonly isWarm: boolean;
  /** Replies that run there. */
  readonly running: number;
  readonly firstEventMs: number | undefined;
  /** Sentences: what moved it here, or kept it out. */
  readonly reasons: readonly string[];
}

export interface ExplainedFallback {
  /** `downgrade`: named by a budget without room. */
  readonly reason: keyof Fallbacks | "downgrade";
  readonly model: string;
  /** Why it would not step in; undefined where it would. */
  readonly fault: string | undefined;
}

export interface RouteExplanation {
  readonly asked: string;
  /** The model's own name; undefined where nothing answers to the name. */
  readonly model: string | undefined;
  /** How the name was understood. */
  readonly understoodAs: string;
  /** Why the caller gets nothing; undefined where it is served. */
  readonly refusal: string | undefined;
  readonly strategy: RoutingStrategy | undefined;
  /** In the order in which they would be tried, then those that would not. */
  readonly targets: readonly ExplainedTarget[];
  readonly fallbacks: readonly ExplainedFallback[];
}
