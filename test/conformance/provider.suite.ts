/** What every provider must hold, run over the registry: a new folder is covered by its one registry line. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Provider, ProviderCall } from "../../src/providers/provider.ts";
import { isProblem, scanMembers } from "../../src/wire/json-members.ts";
import { headerValue } from "../../src/wire/headers.ts";

/** How an operator would write this place. */
export interface ProviderCorpus {
  readonly settings: unknown;
  /** Text that must go out as credential with these settings, and only by `authorize`; undefined when there is none. */
  readonly credential: string | undefined;
}

export function providerSuite(provider: Provider, corpus: ProviderCorpus): void {
  const settings = provider.settings.parse(corpus.settings);
  const callOf = (body: Buffer, upstreamModel: string, isStreaming = false): ProviderCall => {
    const members = scanMembers(body);
    if (isProblem(members)) throw new Error(members.reason);
    return { operation: "messages", upstreamModel, isStreaming, body, members, query: "?beta=true", headers: ["anthropic-version", "2023-06-01", "anthropic-beta", "x-1"], envelope: "messages", refusedBetas: new Set(), clientProject: undefined };
  };

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

    it("sends the client's own bytes when the name is the upstream's, and changes nothing but the name when it is not", () => {
      fc.assert(
        fc.property(fc.dictionary(fc.constantFrom("messages", "system", "max_tokens", "é", "tools"), fc.jsonValue()), fc.constantFrom(0, 1, 2), (rest, indent) => {
          const body = Buffer.from(JSON.stringify({ ...rest, model: "claude-x", stream: true }, null, indent));
          expect(provider.prepare(callOf(body, "claude-x"), settings).body).toBe(body);
          const renamed = provider.prepare(callOf(body, "other/model"), settings).body;
          expect(JSON.parse(renamed.toString())).toEqual({ ...(JSON.parse(body.toString()) as object), model: "other/model" });
          expect(renamed.length - body.length).toBe("other/model".length - "claude-x".length);
        }),
        { numRuns: 200 },
      );
    });

    it("puts the credential on last, and only there", async () => {
      const prepared = provider.prepare(callOf(Buffer.from('{"model":"claude-x"}'), "claude-x"), settings);
      const authorized = await provider.authorize(prepared, settings, { credentials: undefined, client: undefined, host: "h.invalid", nowMs: 0 });
      expect(authorized.headers.slice(0, prepared.headers.length)).toEqual(prepared.headers);
      expect(authorized.body).toBe(prepared.body);
      if (corpus.credential !== undefined) {
        expect(prepared.headers.join()).not.toContain(corpus.credential);
        expect(authorized.headers.join()).toContain(corpus.credential);
      }
    });

    it("keeps betas and versions as they came", () => {
      const { headers } = provider.prepare(callOf(Buffer.from('{"model":"claude-x"}'), "claude-x"), settings);
      expect([headerValue(headers, "anthropic-beta"), headerValue(headers, "anthropic-version")]).toEqual(["x-1", "2023-06-01"]);
    });

    it("delivers successes and the request's own faults, and lets a place's faults be tried elsewhere", () => {
      expect([200, 400, 413].map((status) => provider.classify(status, false))).toEqual(["deliver", "deliver", "deliver"]);
      expect([500, 529].map((status) => provider.classify(status, false))).toEqual(["retryable", "retryable"]);
    });
  });
}
