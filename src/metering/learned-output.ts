/**
 * What finished calls have turned out to use, so that the room held for the next one is near what it will take: output by key and model,
 * bytes behind a token of input and characters behind a token of output by model. In memory, bounded, begun anew with the process.
 */
import { RecentMap } from "./recent-map.ts";

const pairsMax = 20_000;
/** Names of models may come from clients where a route takes any. */
const modelsMax = 1_000;

/** Weight of one sample. Halved with the rest, it fades over several halvings; whole samples would vanish from the tail at the first one. */
const sampleWeight = 64;
/** Once a distribution weighs this much, all of it is halved, so that old habits fade: about the last 500 samples count. */
const weightMax = 512 * sampleWeight;
/** Fewer samples say nothing about a hundredth. */
const tailSamplesMin = 50;
/** Fewer samples say nothing about a mean or a ratio. */
const samplesMin = 20;

/** Until anything is known of a model: a long answer of a coding agent. */
const outputDefault: OutputHabit = { p99: 4_096, mean: 1_024 };
/** English and code run at about four bytes a token; the newest tokenizers make up to 1.35 times the tokens of those before. */
const bytesPerTokenDefault = 3;
/** The rule by which Anthropic's own gateway takes what a broken-off stream has written. */
const charactersPerTokenDefault = 4;
/** The smallest thinking budget that the API takes, for replies of models of which nothing is known yet. */
const hiddenTokensDefault = 1_024;

/** Below this, what the provider adds to any prompt hides the ratio. */
const inputTokensMin = 200;
const outputTokensMin = 32;
/** A ratio beyond these is that of images or of hidden thinking, not of text. */
const ratioMin = 1;

/** Tokens. */
export interface OutputHabit {
  /** What 99 of 100 calls stay within, as far as the last few hundred tell. */
  readonly p99: number;
  readonly mean: number;
}

/** Tokens are integers ≥ 0. Nothing here throws; counts that are no plausible report must not be passed. */
export interface LearnedOutput {
  /** Output of one finished attempt of which the provider has reported the final count. */
  note(keyId: string, model: string, outputTokens: number): void;
  /** Body of a request and all input tokens reported for it, caches included. */
  noteInput(model: string, requestBytes: number, inputTokens: number): void;
  /** Final output of a reply and the characters of it that passed. */
  noteText(model: string, outputTokens: number, outputCharacters: number): void;
  /** What is known of this key's calls to this model, else of all calls to it, else a default. */
  output(keyId: string, model: string): OutputHabit;
  p99(keyId: string, model: string): number;
  mean(keyId: string, model: string): number;
  /** On the low side, so that tokens estimated with it are on the high side; > 0. */
  bytesPerToken(model: string): number;
  /** Characters of visible text behind a token of output, on the low side; ≥ 1. */
  charactersPerToken(model: string): number;
  /** The same where the best guess is wanted, not a careful one. */
  charactersPerTokenUsual(model: string): number;
  /** Output tokens beside the visible text, thinking above all, that nine of ten replies stay within. */
  hiddenTokensMargin(model: string): number;
  /** The same on average, for what a broken-off reply is taken to have cost; 0 until enough is learnt. */
  hiddenTokensMean(model: string): number;
  /** Distributions in memory, for tests and metrics. */
  readonly pairs: number;
}

/** @param bounds other bounds than the default, ≥ 1 */
export function createLearnedOutput(bounds: { readonly pairsMax?: number; readonly modelsMax?: number } = {}): LearnedOutput {
  const pairs = new RecentMap<Distribution>(bounds.pairsMax ?? pairsMax);
  const models = new RecentMap<ModelHabit>(bounds.modelsMax ?? modelsMax);

  const habitOf = (model: string): ModelHabit => {
    let habit = models.get(model);
    if (habit === undefined) models.set(model, (habit = new ModelHabit()));
    return habit;
  };

  const outputOf = (keyId: string, model: string): OutputHabit => {
    const pair = pairs.get(`${keyId}\n${model}`);
    if (pair !== undefined && pair.samples >= tailSamplesMin) return { p99: pair.quantile(0.99), mean: Math.ceil(pair.mean) };
    const whole = models.get(model)?.output;
    const general = {
      p99: whole !== undefined && whole.samples >= tailSamplesMin ? whole.quantile(0.99) : outputDefault.p99,
      mean: whole !== undefined && whole.samples >= samplesMin ? Math.ceil(whole.mean) : outputDefault.mean,
    };
    if (pair === undefined) return general;
    // A few short answers of a new key are no reason to hold less than its model is known for.
    return { p99: Math.max(pair.quantile(0.99), general.p99), mean: pair.samples >= samplesMin ? Math.ceil(pair.mean) : general.mean };
  };

  return {
    note(keyId, model, outputTokens) {
      const id = `${keyId}\n${model}`;
      let pair = pairs.get(id);
      if (pair === undefined) pairs.set(id, (pair = new Distribution(tokenScale)));
      pair.add(outputTokens);
      habitOf(model).output.add(outputTokens);
    },
    noteInput(model, requestBytes, inputTokens) {
      if (inputTokens >= inputTokensMin) habitOf(model).bytes.add(requestBytes / inputTokens);
    },
    noteText(model, outputTokens, outputCharacters) {
      if (outputTokens < outputTokensMin) return;
      const habit = habitOf(model);
      habit.characters.add(outputCharacters / outputTokens);
      habit.hidden.add(Math.max(0, outputTokens - Math.ceil(outputCharacters / charactersPerTokenOf(habit))));
    },
    output: outputOf,
    p99: (keyId, model) => outputOf(keyId, model).p99,
    mean: (keyId, model) => outputOf(keyId, model).mean,
    bytesPerToken: (model) => ratioOf(models.get(model)?.bytes, 0.05),
    charactersPerToken: (model) => charactersPerTokenOf(models.get(model)),
    charactersPerTokenUsual(model) {
      const characters = models.get(model)?.characters;
      return characters !== undefined && characters.samples >= samplesMin ? Math.max(ratioMin, characters.quantile(0.75)) : charactersPerTokenDefault;
    },
    hiddenTokensMargin(model) {
      const hidden = models.get(model)?.hidden;
      return hidden !== undefined && hidden.samples >= samplesMin ? hidden.quantile(0.9) : hiddenTokensDefault;
    },
    hiddenTokensMean(model) {
      const hidden = models.get(model)?.hidden;
      return hidden !== undefined && hidden.samples >= samplesMin ? Math.ceil(hidden.mean) : 0;
    },
    get pairs() {
      return pairs.size;
    },
  };
}

/** Thinking that is not shown only lowers what is seen of this ratio, so the upper quartile is nearest to that of the text itself. */
function charactersPerTokenOf(habit: ModelHabit | undefined): number {
  return ratioOf(habit?.characters, 0.75);
}

/** Down at once, up only on evidence: an estimate that is too low costs money, one that is too high a moment's room. */
function ratioOf(known: Distribution | undefined, share: number): number {
  if (known === undefined || known.samples === 0) return bytesPerTokenDefault;
  const ratio = Math.max(ratioMin, known.quantile(share));
  return known.samples >= samplesMin ? ratio : Math.min(bytesPerTokenDefault, ratio);
}

/** How values fall into classes that grow with them. */
interface Scale {
  readonly isRatio: boolean;
  /** Values are multiplied by this before they are classed as integers. */
  readonly unit: number;
  /** Scaled values below 2^this share the first class. */
  readonly exponentMin: number;
  /** Each doubling has 2^this classes. */
  readonly bits: number;
  /** The last class is open. */
  readonly classes: number;
}

/** From 32 tokens to a million. 32 counts are 64 bytes, which the engine still keeps beside the object. */
const tokenScale: Scale = { isRatio: false, unit: 1, exponentMin: 5, bits: 1, classes: 32 };
/** From 0.5 to 8, a sixteenth of a doubling each. */
const ratioScale: Scale = { isRatio: true, unit: 1_024, exponentMin: 9, bits: 4, classes: 66 };

/** A histogram over classes of growing width whose samples fade. */
class Distribution {
  readonly #scale: Scale;
  readonly #counts: Uint16Array;
  #weight = 0;
  /** Ever added; not faded. */
  samples = 0;
  /** Moving average over about the last 256 samples. */
  mean = 0;

  constructor(scale: Scale) {
    this.#scale = scale;
    this.#counts = new Uint16Array(scale.classes);
  }

  add(value: number): void {
    this.samples++;
    this.mean += (value - this.mean) / (this.samples < 256 ? this.samples : 256);
    this.#counts[classOf(this.#scale, value)]! += sampleWeight;
    this.#weight += sampleWeight;
    if (this.#weight >= weightMax) this.#halve();
  }

  /** Tokens are taken to be spread evenly over their class and rounded up; a ratio is the lower edge of its class. 0 without samples. */
  quantile(share: number): number {
    const target = this.#weight * share;
    let below = 0;
    for (let index = 0; index < this.#counts.length; index++) {
      const count = this.#counts[index]!;
      if (count > 0 && below + count >= target) {
        const lower = edgeOf(this.#scale, index);
        if (this.#scale.isRatio) return lower;
        return Math.ceil(lower + (edgeOf(this.#scale, index + 1) - lower) * ((target - below) / count));
      }
      below += count;
    }
    return 0;
  }

  #halve(): void {
    this.#weight = 0;
    for (let index = 0; index < this.#counts.length; index++) this.#weight += this.#counts[index] = this.#counts[index]! >>> 1;
  }
}

/** What is known of one model, over all keys. */
class ModelHabit {
  readonly output = new Distribution(tokenScale);
  readonly hidden = new Distribution(tokenScale);
  readonly bytes = new Distribution(ratioScale);
  readonly characters = new Distribution(ratioScale);
}

function classOf({ unit, exponentMin, bits, classes }: Scale, value: number): number {
  const scaled = Math.min(0x7fff_ffff, Math.floor(value * unit));
  const exponent = 31 - Math.clz32(scaled);
  if (exponent < exponentMin) return 0;
  const index = 1 + ((exponent - exponentMin) << bits) + ((scaled >>> (exponent - bits)) & ((1 << bits) - 1));
  return index < classes ? index : classes - 1;
}

/** Lower edge of a class, which is the upper one of the class before. */
function edgeOf({ unit, exponentMin, bits }: Scale, index: number): number {
  if (index === 0) return 0;
  const step = index - 1;
  return (2 ** (exponentMin + (step >> bits)) * (1 + (step & ((1 << bits) - 1)) / (1 << bits))) / unit;
}
