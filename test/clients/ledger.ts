/** Reads the gateway's ledger through its management API, reduced to what can be held against a provider's bill. */
import type { GatewayProcess } from "./gateway-process.ts";

/** One upstream attempt. */
export interface LedgerLine {
  /** The provider's own id of the request; empty when it never answered. */
  readonly upstreamRequestId: string;
  readonly model: string;
  readonly sessionId: string | null;
  /** Input, cache read, cache write 5 m, cache write 1 h, output. */
  readonly counts: readonly [number, number, number, number, number];
  readonly source: string;
  readonly state: string;
  /** The configured provider's name. */
  readonly provider: string;
  readonly costNanoUsd: bigint;
  /** What was taken out of the request for the place that served it. */
  readonly loss: string;
}

interface WireRow {
  readonly upstream_request_id: string | null;
  readonly served_model: string;
  readonly session_id: string | null;
  readonly input_tokens: number;
  readonly cache_read_tokens: number;
  readonly cache_write_5m_tokens: number;
  readonly cache_write_1h_tokens: number;
  readonly output_tokens: number;
  readonly source: string;
  readonly state: string;
  readonly provider: string;
  readonly cost_usd: string;
  readonly loss: string;
}

/** All attempts, newest first. */
export async function ledgerRows(gateway: GatewayProcess): Promise<readonly LedgerLine[]> {
  const { rows } = await gateway.admin<{ rows: readonly WireRow[] }>("GET", "/api/v1/usage?by=key&rows=1000");
  return rows.map((row) => ({
    upstreamRequestId: row.upstream_request_id ?? "",
    model: row.served_model,
    sessionId: row.session_id,
    counts: [row.input_tokens, row.cache_read_tokens, row.cache_write_5m_tokens, row.cache_write_1h_tokens, row.output_tokens],
    source: row.source,
    state: row.state,
    provider: row.provider,
    costNanoUsd: nanoUsdOf(row.cost_usd),
    loss: row.loss,
  }));
}

/** A printed amount, without a detour through floating point. */
function nanoUsdOf(usd: string): bigint {
  const [, dollars = "", rest = ""] = /^(\d+)(?:\.(\d{1,9}))?$/.exec(usd) ?? [];
  return BigInt(dollars) * 1_000_000_000n + BigInt(rest.padEnd(9, "0"));
}
