/**
 * Reading what a caller of the control plane wrote: each fault becomes one `client_field_invalid` that names the field and
 * says what it should be. Values are never repeated; they may hold a key.
 */
import type { z } from "zod";
import { GatewayError } from "../kernel/gateway-error.ts";

const namesShownMax = 5;
const nameLengthShownMax = 64;

/** @param sentence names the field; made of our own words */
export function fieldInvalid(sentence: string): GatewayError {
  return new GatewayError("client_field_invalid", { publicText: sentence });
}

/** A field's name in an error, cut and quoted where it is no plain word: it may be the caller's own text. */
export function shownName(name: string): string {
  const cut = name.slice(0, nameLengthShownMax);
  return /^[\w.-]+$/.test(cut) ? cut : JSON.stringify(cut);
}

/**
 * @param value a parsed JSON body or query
 * @throws GatewayError `client_field_invalid` naming the first five faults
 */
export function parseFields<Output>(schema: z.ZodType<Output>, value: unknown): Output {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.flatMap((issue) => {
    const path = issue.path.map((part) => shownName(String(part)));
    if (issue.code === "unrecognized_keys") return issue.keys.map((key) => `${[...path, shownName(key)].join(".")}: there is no such field`);
    return [`${path.length === 0 ? "the body" : path.join(".")}: ${issue.message}`];
  });
  const more = faults.length > namesShownMax ? ` (and ${faults.length - namesShownMax} more)` : "";
  throw fieldInvalid(`${faults.slice(0, namesShownMax).join("; ")}${more}.`);
}

/**
 * A query as an object.
 *
 * @throws GatewayError `client_field_invalid` when a name stands twice, since two readers could take different ones
 */
export function queryObject(query: URLSearchParams): Readonly<Record<string, string>> {
  const found = new Map<string, string>();
  for (const [name, value] of query) {
    if (found.has(name)) throw fieldInvalid(`${shownName(name)}: it is there twice.`);
    found.set(name, value);
  }
  return Object.fromEntries(found);
}

/** True for null, "", [], {}, false: what a client sends for a field it does not use. */
export function isEmptyValue(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}
