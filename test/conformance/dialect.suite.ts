/** What every dialect must hold, run over the registry: a new folder is covered by its one registry line. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Dialect } from "../../src/dialects/dialect.ts";
import { errorCodes, type ErrorCode } from "../../src/kernel/error-codes.ts";
import { GatewayError } from "../../src/kernel/gateway-error.ts";
import { createEventSplitter, decodeEvents } from "../../src/wire/sse.ts";

/** Bytes of one dialect's own wire, made by its tests. */
export interface DialectCorpus {
  /** A request body that names `model`, asks for a stream or not. */
  readonly requests: readonly { readonly body: Buffer; readonly model: string; readonly isStreaming: boolean }[];
  /** A complete stream and the plain reply with the same usage. */
  readonly stream: Buffer;
  readonly plain: Buffer;
}

export function dialectSuite(dialect: Dialect, corpus: DialectCorpus): void {
  describe(`dialect ${dialect.id}`, () => {
    it("reads model and stream flag from its own requests", () => {
      for (const { body, model, isStreaming } of corpus.requests) expect(dialect.inspect(body)).toMatchObject({ model, isStreaming });
    });

    it("refuses what is no request with a code of the client's blame, and never with another kind of fault", () => {
      fc.assert(
        fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
          try {
            dialect.inspect(Buffer.from(text));
          } catch (fault) {
            expect(fault).toBeInstanceOf(GatewayError);
            expect((fault as GatewayError).spec.blame).toBe("client");
          }
        }),
        { numRuns: 500 },
      );
    });

    it("observes the same usage at any cut of a stream, and the same in its plain twin", () => {
      const observed = (cuts: readonly number[]): unknown => {
        const observer = dialect.observe();
        const splitter = createEventSplitter();
        let from = 0;
        for (const to of [...cuts.map((cut) => cut % (corpus.stream.length + 1)).sort((a, b) => a - b), corpus.stream.length]) {
          const events = splitter.push(corpus.stream.subarray(from, to));
          if (events.length > 0) observer.streamEvents(events);
          from = to;
        }
        expect(observer.ending()).toBe("complete");
        return { ...observer.observed(), outputCharacters: 0 };
      };
      const plain = dialect.observe();
      plain.plainBody(corpus.plain);
      const expected = { ...plain.observed(), outputCharacters: 0 };
      fc.assert(fc.property(fc.array(fc.nat(), { maxLength: 20 }), (cuts) => {
          expect(observed(cuts)).toEqual(expected);
        }),
        { numRuns: 200 },
      );
    });

    it("never throws while observing, whatever passes", () => {
      fc.assert(
        fc.property(fc.array(fc.string(), { maxLength: 6 }), (pieces) => {
          const observer = dialect.observe();
          for (const piece of pieces) observer.streamEvents(Buffer.from(`data: ${piece}\n\n`));
          observer.plainBody(Buffer.from(pieces.join("")));
          observer.observed();
          observer.ending();
        }),
        { numRuns: 300 },
      );
    });

    it.each(Object.keys(errorCodes) as ErrorCode[])("renders %s as JSON with its status, without inner words, and as one whole event", (code) => {
      const error = new GatewayError(code, { internal: "inner words" });
      const rendered = dialect.renderError(error, "req_1");
      expect(rendered.status).toBe(errorCodes[code].status);
      expect(rendered.body).not.toContain("inner words");
      expect(() => JSON.parse(rendered.body) as unknown).not.toThrow();
      const events = decodeEvents(dialect.streamError(error, "req_1"));
      expect(events).toHaveLength(1);
      expect(() => JSON.parse(events[0]!.data) as unknown).not.toThrow();
    });

    it("has a ping that is one whole event", () => {
      expect(decodeEvents(dialect.ping)).toHaveLength(1);
    });
  });
}
