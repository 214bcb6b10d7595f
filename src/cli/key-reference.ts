/**
 * Finding the key an operator means: by its alias, by the beginning of its hash, or by the key itself, which is hashed
 * here, so that no clear key ever stands in a URL or a log.
 */
import { createHash } from "node:crypto";
import { CliError } from "./cli-error.ts";
import type { GatewayClient } from "./client.ts";
import { listOf, numberOf, objectOf, textOf, type JsonObject } from "./json.ts";

const pageSize = 100;
/** A guard against a server that never says which page is the last. */
const pagesMax = 10_000;
/** Shorter beginnings of a hash are taken for aliases only. */
const hashPrefixLengthMin = 6;

/** Every key the gateway lists, as LiteLLM's full objects. */
export async function listKeys(client: GatewayClient, filter: Readonly<Record<string, string>> = {}): Promise<readonly JsonObject[]> {
  const keys: JsonObject[] = [];
  for (let page = 1; page <= pagesMax; page++) {
    const query = new URLSearchParams({ ...filter, page: String(page), size: String(pageSize), return_full_object: "true" });
    const reply = objectOf(await client.call("GET", `/key/list?${query.toString()}`));
    const found = listOf(reply.keys).map(objectOf);
    keys.push(...found);
    if (found.length === 0 || page >= numberOf(reply.total_pages)) break;
  }
  return keys;
}

/** The SHA-256 that LiteLLM calls `token`, lower-case hex. */
export function tokenOf(key: JsonObject): string {
  return textOf(key.token) || textOf(key.token_id);
}

/**
 * @param reference an alias, at least six characters of a hash's beginning, a whole hash, or a key (`sk-…`)
 * @returns the hash
 * @throws CliError when no key or more than one is meant
 */
export async function resolveKey(client: GatewayClient, reference: string): Promise<string> {
  if (/^[0-9a-f]{64}$/.test(reference)) return reference;
  const keys = await listKeys(client);
  const byAlias = keys.filter((key) => textOf(key.key_alias) === reference);
  // An alias may look like a key; so the alias is tried first.
  if (byAlias.length === 0 && reference.startsWith("sk-")) return createHash("sha256").update(reference).digest("hex");
  const isPrefix = reference.length >= hashPrefixLengthMin && /^[0-9a-f]+$/.test(reference);
  const found = byAlias.length > 0 ? byAlias : keys.filter((key) => isPrefix && tokenOf(key).startsWith(reference));
  if (found.length === 1) return tokenOf(found[0]!);
  const name = JSON.stringify(reference);
  if (found.length > 1) throw new CliError(`${name} fits ${found.length} keys.`, { mend: "Give more of the id; `tollgate keys list --json` has it whole." });
  throw new CliError(`There is no key with the alias or id ${name}.`, { mend: "`tollgate keys list` shows all." });
}
