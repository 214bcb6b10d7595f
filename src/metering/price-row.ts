/** The row format of `price-book.json`, shared by the book that reads it and the script that writes it. */

/** One price: a model at a place in one variant. An absent variant member means the ordinary one. µUSD per million tokens. */
export interface PriceRow {
  readonly provider: string;
  /** Canonical name: no date, no place's prefix. */
  readonly model: string;
  readonly speed?: string;
  /** `us` on Anthropic's API; `regional` where a place sells a region instead of its global endpoint. */
  readonly inferenceGeo?: string;
  readonly serviceTier?: string;
  /** A long-context row: it holds when the whole input, caches included, is above this. */
  readonly aboveTokens?: number;
  readonly input: number;
  /** `null` in a cache member: the place has no such price. */
  readonly cacheRead: number | null;
  readonly cacheWrite5m: number | null;
  readonly cacheWrite1h: number | null;
  readonly output: number;
  /** µUSD for one use, by the member name in the reply's `server_tool_use`. */
  readonly serverToolUses?: Readonly<Record<string, number>>;
  readonly source: string;
  /** `YYYY-MM-DD`. */
  readonly checkedOn: string;
}

/** Kind of the provider whose answers are simulated: whatever it counts is no money. */
export const simulatedProvider = "demo";

/** Id of its price row, the same for all names. */
export const simulatedRowId = `${simulatedProvider}/simulated`;

/** The whole file. */
export interface PriceFile {
  readonly rows: readonly PriceRow[];
  /** Other names of a canonical model. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Canonical names on offer today, newest generation of each family first. */
  readonly listed: readonly string[];
}

/** Id of a row, as the ledger keeps it: `anthropic/claude-opus-5-5?fast&us`, long context `…?>200000`. */
export function rowId(row: Pick<PriceRow, "provider" | "model" | "speed" | "inferenceGeo" | "serviceTier" | "aboveTokens">): string {
  const variant = [row.speed, row.inferenceGeo, row.serviceTier].filter((value) => value !== undefined).join("&");
  const id = `${row.provider}/${row.model}${variant === "" ? "" : `?${variant}`}`;
  return row.aboveTokens === undefined ? id : longContextId(id, row.aboveTokens);
}

/** Id of the long-context row beside the row `id`. */
export function longContextId(id: string, aboveTokens: number): string {
  return `${id}${id.includes("?") ? "&" : "?"}>${aboveTokens}`;
}
