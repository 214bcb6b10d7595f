/**
 * What calls have turned out to use, so that the room held for the next one is near what it will take: output by key and model, bytes
 * and characters behind a token by model, and a session's last input. In memory, bounded, and started anew with the process.
 */

/** Bounds of the classes of output: each about a fifth above the one before, up to a million tokens. */
const classBounds: readonly number[] = Array.from({ length: 64 }, (_, index) => Math.ceil(16 * 1.19 ** index));
/** Once a class has seen this many, all are halved, so that old habits fade. */
const classCountMax = 200;
/** Fewer than these say nothing about a hundredth. */
const samplesMin = 20;
const pairsMax = 20_000;
const sessionsMax = 50_000;

/** Until something is known: a long answer of a coding agent. */
const outputDefault = { p99: 4_096, mean: 1_024 };

/** Tokens. */
export interface OutputHabit {
  readonly p99: number;
  readonly mean: number;
}

/** The input of a session's last call, as its provider reported it. */
export interface SessionInput {
  readonly atMs: number;
  readonly requestBytes: number;
  /** All input tokens, however they were priced. */
  readonly tokens: number;
  /** For how long its prompt cache lives. */
  readonly cacheMs: number;
}

/** One call that ended with a report. */
export interface EndedCall {
  readonly keyId: string;
  readonly sessionId: string | null;
  readonly model: string;
  readonly requestBytes: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheMs: number;
  readonly endedAtMs: number;
}

export interface Habits {
  note(call: EndedCall): void;
  output(keyId: string, model: string): OutputHabit;
  /** Bytes of a request behind one token of input, on the low side, so that estimates are on the high side. */
  bytesPerToken(model: string): number;
  /** Undefined when there was no such call, or its cache is cold by now. */
  session(sessionId: string | null, model: string, nowMs: number): SessionInput | undefined;
}

/** English and code run at about four bytes a token, dense text at fewer; the first calls are held at this. */
const bytesPerTokenDefault = 3;

export function createHabits(): Habits {
  const outputs = new Map<string, Histogram>();
  const bytes = new Map<string, number>();
  const sessions = new Map<string, SessionInput>();
  return {
    note({ keyId, sessionId, model, requestBytes, inputTokens, outputTokens, cacheMs, endedAtMs }) {
      for (const id of [`${keyId} ${model}`, model]) remember(outputs, id, outputs.get(id) ?? new Histogram(), pairsMax).add(outputTokens);
      if (inputTokens >= 200) {
        const ratio = Math.min(8, Math.max(1, requestBytes / inputTokens));
        const known = bytes.get(model) ?? bytesPerTokenDefault;
        // Down at once, up slowly: an estimate that is too low costs money, one that is too high a moment's room.
        remember(bytes, model, ratio < known ? ratio : known + (ratio - known) / 64, pairsMax);
      }
      if (sessionId !== null) remember(sessions, `${sessionId} ${model}`, { atMs: endedAtMs, requestBytes, tokens: inputTokens, cacheMs }, sessionsMax);
    },
    output: (keyId, model) => outputs.get(`${keyId} ${model}`)?.habit() ?? outputs.get(model)?.habit() ?? outputDefault,
    bytesPerToken: (model) => bytes.get(model) ?? bytesPerTokenDefault,
    session(sessionId, model, nowMs) {
      if (sessionId === null) return undefined;
      const found = sessions.get(`${sessionId} ${model}`);
      return found === undefined || nowMs - found.atMs > found.cacheMs ? undefined : found;
    },
  };
}

/** Puts an entry at the new end; the oldest one goes when there are too many. */
function remember<Value>(map: Map<string, Value>, id: string, value: Value, max: number): Value {
  map.delete(id);
  map.set(id, value);
  if (map.size > max) map.delete(map.keys().next().value!);
  return value;
}

class Histogram {
  readonly #counts = new Uint16Array(classBounds.length);
  #samples = 0;
  #tokens = 0;
  #habit: OutputHabit | undefined;

  add(tokens: number): void {
    let index = 0;
    while (index < classBounds.length - 1 && classBounds[index]! < tokens) index++;
    this.#counts[index]!++;
    this.#samples++;
    this.#tokens += tokens;
    this.#habit = undefined;
    if (this.#counts[index]! < classCountMax) return;
    this.#samples = 0;
    for (let each = 0; each < this.#counts.length; each++) this.#samples += this.#counts[each] = this.#counts[each]! >>> 1;
    this.#tokens /= 2;
  }

  /** Undefined while too little is known. */
  habit(): OutputHabit | undefined {
    if (this.#samples < samplesMin) return undefined;
    this.#habit ??= { p99: this.#quantile(0.99), mean: Math.ceil(this.#tokens / this.#samples) };
    return this.#habit;
  }

  #quantile(share: number): number {
    let left = this.#samples * (1 - share);
    for (let index = classBounds.length - 1; index > 0; index--) {
      left -= this.#counts[index]!;
      if (left < 0) return classBounds[index]!;
    }
    return classBounds[0]!;
  }
}
