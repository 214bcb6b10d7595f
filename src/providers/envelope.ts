/**
 * Moves a Claude request from the envelope it came in to the one its place wants. Only top-level members are touched, by
 * splices; the bytes of `messages` and `system` are never read. Betas and the fields they belong to are the caller's to
 * choose; here they only change their place (header, or `anthropic_beta` in the body).
 */
import { spliceMembers } from "../wire/json-splice.ts";
import { headerValue, withoutHeader } from "../wire/headers.ts";
import type { Envelope, ProviderCall } from "./provider.ts";

/** What the place wants. */
export interface Reshaping {
  readonly to: Envelope;
  /**
   * `anthropic_version` of the body for `bedrock` and `vertex`; the header where it is missing for `messages`. A newer version that
   * the client names goes in its place.
   */
  readonly version: string;
  /** The betas to send, in order; undefined leaves what is there in its place when the envelope stays the same. */
  readonly betas?: readonly string[];
  /** Top-level members to leave out. */
  readonly remove?: ReadonlySet<string>;
  /** Top-level members to replace, as JSON text. */
  readonly replace?: ReadonlyMap<string, string>;
  /** Top-level members to add where they are missing, as JSON text. */
  readonly add?: ReadonlyMap<string, string>;
}

/** A request in its new form. */
export interface Reshaped {
  readonly body: Buffer;
  /** Flat list. */
  readonly headers: readonly string[];
}

/** Every beta the call asks for: of the header, then of the body's `anthropic_beta`; each once. */
export function betasOf(call: ProviderCall): readonly string[] {
  const inHeader: string[] = [];
  for (let index = 0; index + 1 < call.headers.length; index += 2) {
    if (call.headers[index]!.toLowerCase() === "anthropic-beta") inHeader.push(...call.headers[index + 1]!.split(","));
  }
  return [...new Set([...inHeader, ...bodyBetas(call)].map((name) => name.trim()).filter((name) => name !== ""))];
}

/** No beta has a name that could not stand in a header; and names are told to the client and kept in the ledger, so no text of a body may pass for one. */
const betaName = /^[\w.:-]{1,100}$/;

/** A list of strings, or one string; anything else is left for the upstream to refuse. */
function bodyBetas(call: ProviderCall): readonly string[] {
  const member = call.members.get("anthropic_beta");
  if (member === undefined) return [];
  try {
    const value: unknown = JSON.parse(call.body.toString("utf8", member.valueStart, member.valueEnd));
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    return list.filter((item): item is string => typeof item === "string" && betaName.test(item.trim()));
  } catch {
    return [];
  }
}

/**
 * Members of a whole request, which Bedrock counts, that the other places' counting does not take
 * (https://docs.anthropic.com/en/api/messages-count-tokens, checked 2026-11).
 */
const notCounted = ["max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier"];

export function reshape(call: ProviderCall, reshaping: Reshaping): Reshaped {
  const { to } = reshaping;
  if (to === "messages" && call.envelope === "messages" && reshaping.betas === undefined && reshaping.remove === undefined && reshaping.replace === undefined && reshaping.add === undefined) {
    return unchanged(call, reshaping.version);
  }
  const remove = new Set(reshaping.remove);
  const replace = new Map(reshaping.replace);
  const add = new Map<string, string>();
  const set = (name: string, json: string): void => void (call.members.get(name) === undefined ? add : replace).set(name, json);
  for (const [name, json] of reshaping.add ?? []) if (call.members.get(name) === undefined) add.set(name, json);
  let headers: readonly string[] = call.headers;

  const mayStay = to === call.envelope && reshaping.betas === undefined;
  const betas = mayStay ? undefined : (reshaping.betas ?? betasOf(call));
  if (betas !== undefined) {
    headers = withoutHeader(headers, "anthropic-beta");
    if (to === "bedrock") {
      if (betas.length > 0) set("anthropic_beta", JSON.stringify(betas));
      else remove.add("anthropic_beta");
    } else {
      remove.add("anthropic_beta");
      if (betas.length > 0) headers = [...headers, "anthropic-beta", betas.join(",")];
    }
  }

  if (call.operation === "count_tokens" && call.envelope === "bedrock" && to !== "bedrock") for (const name of notCounted) remove.add(name);

  // `count_tokens` of Vertex names its model in the body, since its URL has none.
  const hasModel = to === "messages" || (to === "vertex" && call.operation === "count_tokens");
  if (!hasModel) remove.add("model");
  else if (modelOf(call) !== call.upstreamModel) set("model", JSON.stringify(call.upstreamModel));
  if (to === "bedrock") remove.add("stream");
  else if (call.isStreaming && call.envelope === "bedrock") set("stream", "true");

  if (to === "messages") {
    if (call.envelope !== "messages") remove.add("anthropic_version");
    if (headerValue(headers, "anthropic-version") === undefined) headers = [...headers, "anthropic-version", newVersion(call) ?? reshaping.version];
  } else {
    if (call.envelope !== to || call.members.get("anthropic_version") === undefined) set("anthropic_version", JSON.stringify(newVersion(call) ?? reshaping.version));
    headers = withoutHeader(headers, "anthropic-version");
  }
  if (headerValue(headers, "content-type") === undefined) headers = [...headers, "content-type", "application/json"];
  for (const name of remove) {
    replace.delete(name);
    add.delete(name);
  }
  return { body: spliceMembers(call.body, call.members, { add, replace, remove }), headers };
}

/**
 * A version after 2023-06-01: these have one name at every place, in the header of Messages and in the body elsewhere (sent so by
 * the npm packages `@anthropic-ai/bedrock-sdk` and `vertex-sdk` since 1.0.0, "API version 2026-10-21", measured 2026-11).
 */
function newVersion(call: ProviderCall): string | undefined {
  const version = call.envelope === "messages" ? headerValue(call.headers, "anthropic-version") : textOf(call, "anthropic_version");
  return version !== undefined && /^20\d\d-\d\d-\d\d$/.test(version) && version > "2023-06-01" ? version : undefined;
}

/** The usual case, and the cheap one: everything goes as it came, but for a model of another name. */
function unchanged(call: ProviderCall, version: string): Reshaped {
  const body = modelOf(call) === call.upstreamModel ? call.body : spliceMembers(call.body, call.members, { replace: new Map([["model", JSON.stringify(call.upstreamModel)]]) });
  const headers = [...call.headers];
  if (headerValue(headers, "anthropic-version") === undefined) headers.push("anthropic-version", version);
  if (headerValue(headers, "content-type") === undefined) headers.push("content-type", "application/json");
  return { body, headers };
}

/** The `model` member, decoded; a name that is only spelled with escapes is the right one, and its bytes stay. */
function modelOf(call: ProviderCall): string | undefined {
  return textOf(call, "model");
}

/** A top-level member that is a string. */
function textOf(call: ProviderCall, name: string): string | undefined {
  const member = call.members.get(name);
  if (member === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(call.body.toString("utf8", member.valueStart, member.valueEnd));
    return typeof value === "string" ? value : undefined;
  } catch {
    // Where the path names the model, nobody has read this member yet; it is replaced.
    return undefined;
  }
}
