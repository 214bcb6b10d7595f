/** What every provider must hold, run over the registry: a new folder is covered by its one registry line. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CredentialRuntime } from "../../src/credentials/runtime.ts";
import { manualClock } from "../../src/kernel/clock.ts";
import type { Envelope, Provider, ProviderCall } from "../../src/providers/provider.ts";
import { isProblem, scanMembers } from "../../src/wire/json-members.ts";
import { headerValue } from "../../src/wire/headers.ts";

/** How an operator would write this place. */
export interface ProviderCorpus {
  readonly settings: unknown;
  /** The envelope in which the place takes requests; a call that comes in it goes byte for byte. */
  readonly envelope: Envelope;
  /** What `login` gives; undefined for places without one. */
  readonly credentials?: unknown;
  /** Text that must go out as credential with these settings, and only by `authorize`; undefined when there is none. */
  readonly credential: string | undefined;
}

/** For logins that need nothing of the world. */
const noWorld: CredentialRuntime = {
  clock: manualClock(),
  env: {},
  homeFolder: "/nowhere",
  readFile: () => Promise.reject(new Error("no files here")),
  modifiedAtMs: () => Promise.resolve(undefined),
  request: () => Promise.reject(new Error("no network here")),
};

export function providerSuite(provider: Provider, corpus: ProviderCorpus): void {
  const settings = provider.settings.parse(corpus.settings);
  const callOf = (body: Buffer, upstreamModel: string, envelope: Envelope = "messages"): ProviderCall => {
    const members = scanMembers(body);
    if (isProblem(members)) throw new Error(members.reason);
    return {
      operation: "messages",
      upstreamModel,
      isStreaming: false,
      body,
      members,
      query: "?beta=true",
      headers: ["content-type", "application/json", ...(envelope === "messages" ? ["anthropic-version", "2023-06-01"] : [])],
      envelope,
      refusedBetas: new Set(),
      clientProject: undefined,
    };
  };
  /** What each envelope has beside the request's own members. */
  const frameOf: Record<Envelope, object> = { messages: { model: "claude-x" }, bedrock: { anthropic_version: "bedrock-2023-05-31" }, vertex: { anthropic_version: "vertex-2023-10-16" } };
  const request = fc.dictionary(fc.constantFrom("messages", "system", "max_tokens", "é", "metadata"), fc.jsonValue());
  const context = { credentials: corpus.credentials ?? provider.login?.(settings, noWorld), client: undefined, host: "h.invalid", nowMs: 1_700_000_000_000 };

  describe(`provider ${provider.id}`, () => {
    it("refuses settings that it does not know", () => {
      expect(provider.settings.safeParse({ ...(corpus.settings as object), surprise: 1 }).success).toBe(false);
    });

    it("has a destination that is an origin and a prefix without a slash at its end", () => {
      const { origin, pathPrefix } = provider.destination(settings);
      expect(new URL(origin).origin).toBe(origin);
      expect(pathPrefix).not.toMatch(/\/$/);
    });

    it("speaks at least one dialect", () => {
      expect(provider.dialects("claude-x").length).toBeGreaterThan(0);
    });

    it("sends the client's own bytes when the envelope and the name are its own", () => {
      fc.assert(
        fc.property(request, fc.constantFrom(0, 1, 2), (rest, indent) => {
          const body = Buffer.from(JSON.stringify({ ...rest, ...frameOf[corpus.envelope] }, null, indent));
          expect(provider.prepare(callOf(body, "claude-x", corpus.envelope), settings).body).toBe(body);
        }),
        { numRuns: 200 },
      );
    });

    it("changes nothing but what its envelope decides, whatever the client's is", () => {
      fc.assert(
        fc.property(request, fc.constantFrom<Envelope>("messages", "bedrock", "vertex"), (rest, envelope) => {
          const body = Buffer.from(JSON.stringify({ ...rest, ...frameOf[envelope] }));
          const wanted = corpus.envelope === "messages" ? { model: "other-model" } : frameOf[corpus.envelope];
          expect(JSON.parse(provider.prepare(callOf(body, "other-model", envelope), settings).body.toString())).toEqual(JSON.parse(JSON.stringify({ ...rest, ...wanted })));
        }),
        { numRuns: 200 },
      );
    });

    it("puts the credential on last, and only there", async () => {
      const prepared = provider.prepare(callOf(Buffer.from('{"model":"claude-x"}'), "claude-x"), settings);
      const authorized = await provider.authorize(prepared, settings, context);
      expect(authorized.headers.slice(0, prepared.headers.length)).toEqual(prepared.headers);
      expect(authorized.body).toBe(prepared.body);
      if (corpus.credential !== undefined) {
        expect(prepared.headers.join()).not.toContain(corpus.credential);
        expect(authorized.headers.join()).toContain(corpus.credential);
      }
    });

    it("keeps a beta that every place takes, and the format's version, where its envelope has them", () => {
      const call = { ...callOf(Buffer.from('{"model":"claude-x"}'), "claude-x"), headers: ["anthropic-version", "2023-06-01", "anthropic-beta", "interleaved-thinking-2025-05-14"] };
      const { headers, body } = provider.prepare(call, settings);
      const sent = JSON.parse(body.toString()) as Record<string, unknown>;
      const betas = corpus.envelope === "bedrock" ? sent["anthropic_beta"] : headerValue(headers, "anthropic-beta")?.split(",");
      expect(betas).toEqual(["interleaved-thinking-2025-05-14"]);
      expect(corpus.envelope === "messages" ? headerValue(headers, "anthropic-version") : sent["anthropic_version"]).toBe(corpus.envelope === "messages" ? "2023-06-01" : (frameOf[corpus.envelope] as { anthropic_version: string }).anthropic_version);
    });

    it("delivers successes and the request's own faults, and lets a place's faults be tried elsewhere", () => {
      expect([200, 400, 413].map((status) => provider.classify(status, false))).toEqual(["deliver", "deliver", "deliver"]);
      expect([500, 529].map((status) => provider.classify(status, false))).toEqual(["retryable", "retryable"]);
    });
  });
}
