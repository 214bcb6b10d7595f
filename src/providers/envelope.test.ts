/**
 * Guarantee: moving a request between envelopes changes only the members that an envelope decides, keeps every byte of the
 * others, and loses no beta; where nothing has to change the client's own bytes go out.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { headerValue } from "../wire/headers.ts";
import { isProblem, scanMembers } from "../wire/json-members.ts";
import { betasOf, reshape } from "./envelope.ts";
import type { Envelope, ProviderCall } from "./provider.ts";

function callOf(body: unknown, fields: Partial<ProviderCall> = {}): ProviderCall {
  const bytes = typeof body === "string" ? Buffer.from(body) : Buffer.from(JSON.stringify(body));
  const members = scanMembers(bytes);
  if (isProblem(members)) throw new Error(members.reason);
  return {
    operation: "messages",
    upstreamModel: "claude-x",
    isStreaming: false,
    envelope: "messages",
    body: bytes,
    members,
    query: "",
    headers: ["content-type", "application/json", "anthropic-version", "2023-06-01"],
    refusedBetas: new Set(),
    clientProject: undefined,
    ...fields,
  };
}

const versions: Record<Envelope, string> = { messages: "2023-06-01", bedrock: "bedrock-2023-05-31", vertex: "vertex-2023-10-16" };

/** The request as each envelope writes it. */
function written(envelope: Envelope, rest: object, isStreaming: boolean, betas: readonly string[]): ProviderCall {
  const inHeader = betas.length === 0 ? [] : ["anthropic-beta", betas.join(",")];
  const type = ["content-type", "application/json"];
  switch (envelope) {
    case "messages":
      return callOf({ model: "claude-x", ...rest, ...(isStreaming ? { stream: true } : {}) }, { isStreaming, headers: [...type, "anthropic-version", versions.messages, ...inHeader] });
    case "bedrock":
      return callOf({ anthropic_version: versions.bedrock, ...(betas.length === 0 ? {} : { anthropic_beta: betas }), ...rest }, { envelope, isStreaming, headers: type });
    case "vertex":
      return callOf({ anthropic_version: versions.vertex, ...rest, ...(isStreaming ? { stream: true } : {}) }, { envelope, isStreaming, headers: [...type, ...inHeader] });
  }
}

const envelopes: readonly Envelope[] = ["messages", "bedrock", "vertex"];
const rest = fc.dictionary(fc.constantFrom("messages", "system", "max_tokens", "größe", "tools", "metadata"), fc.jsonValue());
const betaNames = fc.uniqueArray(fc.constantFrom("a-2025", "b-2026", "c-2024"), { maxLength: 3 });

describe("every pair of envelopes", () => {
  it("gives what a client of the other envelope would have written", () => {
    fc.assert(
      fc.property(fc.constantFrom(...envelopes), fc.constantFrom(...envelopes), rest, fc.boolean(), betaNames, (from, to, members, isStreaming, betas) => {
        const call = written(from, members, isStreaming, betas);
        const wanted = written(to, members, isStreaming, betas);
        const { body, headers } = reshape(call, { to, version: versions[to] });
        expect(JSON.parse(body.toString())).toEqual(JSON.parse(wanted.body.toString()));
        for (const name of ["anthropic-beta", "anthropic-version", "content-type"]) expect(headerValue(headers, name)).toBe(headerValue(wanted.headers, name));
        if (from === to) expect(body).toBe(call.body);
      }),
    );
  });

  it("keeps the bytes of every other member", () => {
    fc.assert(
      fc.property(fc.constantFrom(...envelopes), fc.constantFrom(...envelopes), fc.jsonValue(), (from, to, content) => {
        const text = `[ ${JSON.stringify(content)} ,{"a" : 1.50}]`;
        const call = callOf(`{"messages": ${text}, "max_tokens":1}`, { envelope: from });
        expect(reshape(call, { to, version: versions[to] }).body.toString()).toContain(`"messages": ${text}`);
      }),
    );
  });
});

describe("betas", () => {
  it("are found in header and body, each once", () => {
    expect(betasOf(callOf({ anthropic_beta: ["b", "c"] }, { headers: ["anthropic-beta", "a, b", "Anthropic-Beta", "d"] }))).toEqual(["a", "b", "d", "c"]);
    expect(betasOf(callOf({ anthropic_beta: "x" }))).toEqual(["x"]);
    expect(betasOf(callOf({ anthropic_beta: 7 }))).toEqual([]);
  });

  it("that are chosen replace those that came, and none leaves no trace", () => {
    const call = callOf({ anthropic_beta: ["a"], messages: [] }, { envelope: "bedrock", headers: ["anthropic-beta", "b"] });
    expect(JSON.parse(reshape(call, { to: "bedrock", version: "v", betas: ["c"] }).body.toString())).toEqual({ anthropic_version: "v", anthropic_beta: ["c"], messages: [] });
    expect(reshape(call, { to: "bedrock", version: "v", betas: [] }).body.toString()).not.toContain("anthropic_beta");
    expect(headerValue(reshape(call, { to: "vertex", version: "v", betas: ["c", "d"] }).headers, "anthropic-beta")).toBe("c,d");
  });
});

it("a count keeps its model for Vertex, and leaves out what only a whole request has", () => {
  const count = callOf({ anthropic_version: "bedrock-2023-05-31", max_tokens: 1, temperature: 0, messages: [] }, { operation: "count_tokens", envelope: "bedrock" });
  expect(JSON.parse(reshape(count, { to: "vertex", version: "v" }).body.toString())).toEqual({ model: "claude-x", anthropic_version: "v", messages: [] });
  expect(JSON.parse(reshape(count, { to: "messages", version: "v" }).body.toString())).toEqual({ model: "claude-x", messages: [] });
});

it("a model that is only spelled with escapes keeps its bytes", () => {
  const call = callOf('{"model":"claude\\u002dx"}');
  expect(reshape(call, { to: "messages", version: "v" }).body).toBe(call.body);
});

it("a version newer than 2023-06-01 has one name everywhere and goes along, an older one becomes the place's own", () => {
  const calls = (version: string): readonly ProviderCall[] => [callOf({ model: "claude-x" }, { headers: ["anthropic-version", version] }), callOf({ anthropic_version: version }, { envelope: "bedrock", headers: [] }), callOf({ anthropic_version: version }, { envelope: "vertex", headers: [] })];
  const versionAt = (call: ProviderCall, to: Envelope): unknown => {
    const { body, headers } = reshape(call, { to, version: "v" });
    const inBody = (JSON.parse(body.toString()) as Record<string, unknown>)["anthropic_version"];
    const inHeader = headerValue(headers, "anthropic-version");
    expect([inBody, inHeader].filter((value) => value !== undefined)).toHaveLength(1);
    return to === "messages" ? inHeader : inBody;
  };
  for (const call of calls("2026-10-21")) for (const to of ["messages", "bedrock", "vertex"] as const) expect(versionAt(call, to)).toBe("2026-10-21");
  for (const [old, at] of [["2023-06-01", 0], ["bedrock-2023-05-31", 1], ["vertex-2023-10-16", 2]] as const) {
    for (const to of ["messages", "bedrock", "vertex"] as const) {
      const call = calls(old)[at]!;
      expect(versionAt(call, to)).toBe(call.envelope === to ? old : "v");
    }
  }
});
