/**
 * What an attempt used, as five disjoint token counts. Disjoint means: their sum is the provider's total, and `input`
 * excludes everything read from or written to a cache.
 */

/** Token counts, integers ≥ 0, disjoint. */
export interface TokenCounts {
  readonly input: number;
  readonly cacheRead: number;
  /** Written with the five-minute lifetime. */
  readonly cacheWrite5m: number;
  /** Written with the one-hour lifetime, which costs more. */
  readonly cacheWrite1h: number;
  readonly output: number;
}

/** One priced part of a reply. A reply has one, or several when the provider reports `iterations[]`. */
export interface UsagePart {
  readonly counts: TokenCounts;
  /** The model this part ran on, where the reply names one; else the attempt's own. */
  readonly model: string | undefined;
  /** False: the provider reports these tokens and does not charge them, as for some refusals. Absent: billed. */
  readonly isBilled?: boolean;
}

/**
 * Where the counts come from. `none`: the upstream certainly billed nothing (never dispatched, or refused with an error
 * status). `unresolved`: the connection broke between request and reply, or the process died; its cost is unknown until reconciled.
 */
export type UsageSource = "reported" | "estimated" | "unresolved" | "none";

/** Everything about an attempt that has a price. */
export interface Usage {
  readonly parts: readonly UsagePart[];
  /** Uses of server tools by their name in the reply, for instance `web_search_requests`. */
  readonly serverToolUses: Readonly<Record<string, number>>;
  /** Variant members that change prices, as reported: `fast`, a region, a tier. */
  readonly speed: string | undefined;
  readonly inferenceGeo: string | undefined;
  readonly serviceTier: string | undefined;
  readonly source: UsageSource;
}

export const zeroCounts: TokenCounts = { input: 0, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output: 0 };

/** Member-wise sum. */
export function addCounts(a: TokenCounts, b: TokenCounts): TokenCounts {
  return {
    input: a.input + b.input,
    cacheRead: a.cacheRead + b.cacheRead,
    cacheWrite5m: a.cacheWrite5m + b.cacheWrite5m,
    cacheWrite1h: a.cacheWrite1h + b.cacheWrite1h,
    output: a.output + b.output,
  };
}

/** Sum over all parts, those that are not billed included: the counts are what was reported, the cost is what is owed. */
export function totalCounts(usage: Usage): TokenCounts {
  return usage.parts.length === 1 ? usage.parts[0]!.counts : usage.parts.reduce((sum, part) => addCounts(sum, part.counts), zeroCounts);
}

/** How often a tool that the provider runs may be used in one call; `unbounded` where the request sets no bound. */
export type ServerToolUsesMax = number | "unbounded";
