/** The shape of a price: integers in µUSD per million tokens, with where they come from. */

/** µUSD per million tokens, integers ≥ 0; `null`: this place has no such price, so such tokens are unpriced. */
export interface TokenPrices {
  readonly input: bigint;
  readonly cacheRead: bigint | null;
  readonly cacheWrite5m: bigint | null;
  readonly cacheWrite1h: bigint | null;
  readonly output: bigint;
}

/** What one model costs at one place in one variant. */
export interface PriceCard {
  /** Stable id of the row, for the ledger: `anthropic/claude-opus-5-5`, with `?fast` and the like for variants. */
  readonly id: string;
  readonly provider: string;
  readonly model: string;
  readonly prices: TokenPrices;
  /** All tokens of an attempt cost this when its whole input (caches included) is above the threshold. */
  readonly longContext: { readonly aboveTokens: number; readonly prices: TokenPrices } | undefined;
  /** µUSD for one use, by the member name in the reply's `server_tool_use`. */
  readonly serverToolUses: Readonly<Record<string, bigint>>;
  /** URL of the price list. */
  readonly source: string;
  /** `YYYY-MM-DD`. */
  readonly checkedOn: string;
  /** True for a stand-in: the dearest card of the family of an unknown Claude name. */
  readonly isProvisional: boolean;
}

/** What decides the price of an attempt. */
export interface PriceQuery {
  /** Kind of the provider: `anthropic`, later `bedrock`, `vertex`, … `demo` costs nothing. */
  readonly provider: string;
  readonly model: string;
  readonly speed: string | undefined;
  readonly inferenceGeo: string | undefined;
  readonly serviceTier: string | undefined;
}
