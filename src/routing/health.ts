/**
 * A circuit for each target and model: open while it fails, so that calls go elsewhere at once; after a while one probe is let through,
 * and closed again when that succeeds. A quota that says when it opens is parked until then, which is no failure.
 */
import type { CircuitConfig, FailureClass } from "../config/gateway-config.ts";
import type { Clock } from "../kernel/clock.ts";

export type CircuitState = "closed" | "open" | "half-open";

/** One circuit, for people. */
export interface CircuitView {
  readonly key: string;
  readonly state: CircuitState;
  /** Open for a quota that says when it is there again, not for failures. */
  readonly isParked: boolean;
  readonly failuresInRow: number;
  readonly lastFailure: FailureClass | undefined;
  /** While it is not closed: time until it may be tried, 0 when that has come. */
  readonly opensInMs: number | undefined;
}

/** Keys are the caller's choice. Where a configuration switches circuits off, only parking holds. */
export interface TargetHealth {
  state(key: string, circuit: CircuitConfig): CircuitState;
  /** Claims the probe of a circuit that is half open, for the moment until it is dispatched. */
  mayTry(key: string, circuit: CircuitConfig): boolean;
  /** A call is on its way there; where the circuit is half open, it is the probe. */
  dispatched(key: string): void;
  /** Whether a probe is on its way, whose end the others wait for. */
  isProbed(key: string): boolean;
  /** What costs nothing works there: where the circuit is open, it may be tried now. */
  seemsWell(key: string): void;
  /** A try ended without telling anything, as when its caller left. */
  giveUp(key: string): void;
  success(key: string, circuit: CircuitConfig): void;
  failure(key: string, failureClass: FailureClass, circuit: CircuitConfig): void;
  /** @param untilAt monotonic */
  park(key: string, untilAt: number): void;
  /** Undefined while it is closed. */
  opensInMs(key: string): number | undefined;
  states(): readonly CircuitView[];
  /** What is known of these is of no use any more: their place is another one. */
  forget(isMeant: (key: string) => boolean): void;
  /** Called when a circuit opens, and when it is parked that was not. */
  onOpen(listener: (key: string) => void): void;
  /** Called when a call has succeeded at one that had opened or was parked, and is neither any more. */
  onClose(listener: (key: string) => void): void;
}

/** A probe that never ends frees its place, and so does one that was never sent, as for want of money. */
const probeMs = 60_000;
const claimMs = 2_000;
const cooldownFactorMax = 10;
const bucketCount = 10;

interface Circuit {
  failuresInRow: number;
  lastFailure: FailureClass | undefined;
  /** Monotonic; it is open until then, and half open from then on. */
  openUntilAt: number | undefined;
  /** How often it has opened since the last success. */
  opened: number;
  parkedUntilAt: number;
  /** Listeners wait to be told that it is well again. */
  isTold: boolean;
  /** Monotonic: how long others wait for the probe. */
  probedUntilAt: number;
  /** Calls and failures of the last `windowMs`, by slices of it. */
  buckets: { slice: number; calls: number; failures: number }[];
}

/** Clients name models, so what is remembered is bounded: those that failed first are forgotten. */
const circuitsMax = 10_000;

export function createTargetHealth(clock: Clock): TargetHealth {
  const circuits = new Map<string, Circuit>();
  const listeners: ((key: string) => void)[] = [];
  const closeListeners: ((key: string) => void)[] = [];
  const circuitOf = (key: string): Circuit => {
    let circuit = circuits.get(key);
    if (circuit === undefined && circuits.size >= circuitsMax) circuits.delete(circuits.keys().next().value!);
    if (circuit === undefined) circuits.set(key, (circuit = { failuresInRow: 0, lastFailure: undefined, openUntilAt: undefined, opened: 0, parkedUntilAt: -Infinity, isTold: false, probedUntilAt: -Infinity, buckets: [] }));
    return circuit;
  };
  const stateOf = ({ openUntilAt, parkedUntilAt }: Circuit): CircuitState => {
    const now = clock.monotonic();
    if (parkedUntilAt > now) return "open";
    return openUntilAt === undefined ? "closed" : openUntilAt > now ? "open" : "half-open";
  };
  const tell = (key: string, circuit: Circuit): void => {
    circuit.isTold = true;
    listeners.forEach((listener) => listener(key));
  };
  const opensIn = ({ parkedUntilAt, openUntilAt }: Circuit): number => Math.max(0, Math.max(parkedUntilAt, openUntilAt ?? -Infinity) - clock.monotonic());
  const isParked = ({ parkedUntilAt }: Circuit): boolean => parkedUntilAt > clock.monotonic();

  /** The slice of this moment, older ones than the window dropped. */
  const bucketNow = (circuit: Circuit, windowMs: number): Circuit["buckets"][number] => {
    const slice = Math.floor((clock.monotonic() / windowMs) * bucketCount);
    circuit.buckets = circuit.buckets.filter((bucket) => bucket.slice > slice - bucketCount);
    let last = circuit.buckets.at(-1);
    if (last?.slice !== slice) circuit.buckets.push((last = { slice, calls: 0, failures: 0 }));
    return last;
  };
  const isFailing = (circuit: Circuit, failureClass: FailureClass, { failuresMax, failuresMaxByClass, failureRateMax, callsMin }: CircuitConfig): boolean => {
    if (circuit.failuresInRow >= (failuresMaxByClass.get(failureClass) ?? failuresMax)) return true;
    const calls = circuit.buckets.reduce((sum, bucket) => sum + bucket.calls, 0);
    const failures = circuit.buckets.reduce((sum, bucket) => sum + bucket.failures, 0);
    return calls >= callsMin && failures / calls >= failureRateMax;
  };

  return {
    state(key, { isEnabled }) {
      const circuit = circuits.get(key);
      if (circuit === undefined) return "closed";
      return isEnabled || circuit.parkedUntilAt > clock.monotonic() ? stateOf(circuit) : "closed";
    },
    mayTry(key, { isEnabled }) {
      const circuit = circuits.get(key);
      if (circuit === undefined || !isEnabled) return true;
      const state = stateOf(circuit);
      if (state !== "half-open") return state === "closed";
      const now = clock.monotonic();
      if (circuit.probedUntilAt > now) return false;
      circuit.probedUntilAt = now + claimMs;
      return true;
    },
    dispatched(key) {
      const circuit = circuits.get(key);
      if (circuit !== undefined && stateOf(circuit) === "half-open") circuit.probedUntilAt = clock.monotonic() + probeMs;
    },
    isProbed(key) {
      const circuit = circuits.get(key);
      return circuit !== undefined && stateOf(circuit) === "half-open" && circuit.probedUntilAt > clock.monotonic();
    },
    seemsWell(key) {
      const circuit = circuits.get(key);
      if (circuit?.openUntilAt !== undefined) circuit.openUntilAt = Math.min(circuit.openUntilAt, clock.monotonic());
    },
    giveUp(key) {
      const circuit = circuits.get(key);
      if (circuit !== undefined) circuit.probedUntilAt = -Infinity;
    },
    success(key, { windowMs }) {
      const circuit = circuits.get(key);
      // Most have never failed, and cost nothing but this look.
      if (circuit === undefined) return;
      circuit.failuresInRow = 0;
      circuit.openUntilAt = undefined;
      if (circuit.isTold && !isParked(circuit)) {
        circuit.isTold = false;
        closeListeners.forEach((listener) => listener(key));
      }
      circuit.opened = 0;
      circuit.probedUntilAt = -Infinity;
      bucketNow(circuit, windowMs).calls += 1;
    },
    failure(key, failureClass, config) {
      const circuit = circuitOf(key);
      circuit.failuresInRow += 1;
      circuit.lastFailure = failureClass;
      const bucket = bucketNow(circuit, config.windowMs);
      bucket.calls += 1;
      bucket.failures += 1;
      const isProbe = circuit.openUntilAt !== undefined;
      circuit.probedUntilAt = -Infinity;
      if (!config.isEnabled || (!isProbe && !isFailing(circuit, failureClass, config))) return;
      // Those that were on their way when it opened say nothing new.
      if (isProbe && stateOf(circuit) === "open") return;
      circuit.opened += 1;
      circuit.openUntilAt = clock.monotonic() + config.cooldownMs * Math.min(cooldownFactorMax, 2 ** (circuit.opened - 1));
      circuit.buckets = [];
      tell(key, circuit);
    },
    park(key, untilAt) {
      const circuit = circuitOf(key);
      const wasParked = isParked(circuit);
      circuit.parkedUntilAt = Math.max(circuit.parkedUntilAt, untilAt);
      circuit.lastFailure = "rate_limit";
      // The calls that were on their way all meet the same quota.
      if (!wasParked && isParked(circuit)) tell(key, circuit);
    },
    opensInMs(key) {
      const circuit = circuits.get(key);
      if (circuit === undefined || stateOf(circuit) === "closed") return undefined;
      return opensIn(circuit);
    },
    states: () => [...circuits].map(([key, circuit]) => ({ key, state: stateOf(circuit), isParked: isParked(circuit), failuresInRow: circuit.failuresInRow, lastFailure: circuit.lastFailure, opensInMs: stateOf(circuit) === "closed" ? undefined : opensIn(circuit) })),
    forget(isMeant) {
      for (const key of circuits.keys()) if (isMeant(key)) circuits.delete(key);
    },
    onOpen: (listener) => void listeners.push(listener),
    onClose: (listener) => void closeListeners.push(listener),
  };
}
