/**
 * Guarantee: Anthropic's own TypeScript SDK works through the gateway with nothing changed but its base address: plain and
 * streamed messages, token counts, the model list, and errors that arrive as the SDK's own classes.
 */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { scene, type Scene } from "./stage.ts";

/** As much of the SDK as is used here; its own types are only there when the clients are installed. */
interface Client {
  readonly messages: {
    create(body: object): Promise<Message>;
    stream(body: object): { finalMessage(): Promise<Message> };
    countTokens(body: object): Promise<{ input_tokens: number }>;
  };
  readonly models: { list(): Promise<{ data: { id: string }[] }> };
}

interface Message {
  readonly content: readonly { readonly type: string; readonly text?: string }[];
  readonly usage: { readonly input_tokens: number; readonly output_tokens: number };
  readonly _request_id?: string | null;
}

type ErrorClass = new (...parts: never[]) => Error;

interface Sdk {
  readonly default: new (options: { baseURL: string; apiKey?: string | null; authToken?: string; maxRetries: number }) => Client;
  readonly AuthenticationError: ErrorClass;
  readonly NotFoundError: ErrorClass;
  readonly BadRequestError: ErrorClass;
  readonly RateLimitError: ErrorClass;
  readonly APIError: ErrorClass;
}

let sdk: Sdk;

beforeAll(async () => {
  const entry = createRequire(import.meta.url).resolve("@anthropic-ai/sdk");
  sdk = (await import(pathToFileURL(entry).href)) as Sdk;
});

const question = { model: "claude-opus-5-5", max_tokens: 64, messages: [{ role: "user", content: "Say it." }] };

async function clientOf(stage: Scene, fields: Record<string, unknown> = {}): Promise<Client> {
  return new sdk.default({ baseURL: stage.tee.url, apiKey: await stage.key(fields), maxRetries: 0 });
}

describe("@anthropic-ai/sdk 1.12.0", () => {
  it("gets a plain answer and a streamed one that says the same", async () => {
    await scene({}, async (stage) => {
      stage.fake.setDefault({ text: "the same words" });
      const client = await clientOf(stage);
      const plain = await client.messages.create(question);
      const streamed = await client.messages.stream(question).finalMessage();
      expect(streamed.content).toEqual(plain.content);
      expect(streamed.usage.output_tokens).toBe(plain.usage.output_tokens);
      expect(plain._request_id).toMatch(/^req_/);
    });
  });

  it("takes the key as an API key and as a bearer token", async () => {
    await scene({}, async (stage) => {
      const key = await stage.key();
      for (const credential of [{ apiKey: key }, { apiKey: null, authToken: key }]) {
        const client = new sdk.default({ baseURL: stage.tee.url, maxRetries: 0, ...credential });
        expect((await client.messages.create(question)).content).toHaveLength(1);
      }
    });
  });

  it("counts tokens without being billed, and lists the models", async () => {
    await scene({ models: ["{name: claude-opus-5-5, provider: anthropic}"] }, async (stage) => {
      const client = await clientOf(stage);
      const { model, messages } = question;
      expect((await client.messages.countTokens({ model, messages })).input_tokens).toBeGreaterThan(0);
      expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["claude-opus-5-5"]);
      expect(stage.fake.bill()).toEqual([]);
    });
  });

  it("throws its own classes for what the gateway refuses", async () => {
    await scene({}, async (stage) => {
      stage.expect({ heldBack: 2 });
      const stranger = new sdk.default({ baseURL: stage.tee.url, apiKey: "sk-nobody", maxRetries: 0 });
      await expect(stranger.messages.create(question)).rejects.toBeInstanceOf(sdk.AuthenticationError);
      const limited = await clientOf(stage, { models: ["claude-haiku-5-5"] });
      await expect(limited.messages.create(question)).rejects.toBeInstanceOf(sdk.NotFoundError);
    });
  });

  it("throws its own classes for what the provider refuses, with the provider's words", async () => {
    await scene({}, async (stage) => {
      const client = await clientOf(stage);
      stage.fake.script([{ status: 400, message: "prompt is too long: 1 token > 0 maximum" }, { status: 429, headers: { "retry-after": "7" } }, { isErrorFirst: true, message: "Overloaded, said in the stream" }]);
      await expect(client.messages.create(question)).rejects.toThrow(/prompt is too long: 1 token > 0 maximum/);
      const limited = await client.messages.create(question).catch((error: unknown) => error);
      expect(limited).toBeInstanceOf(sdk.RateLimitError);
      expect((limited as { headers: Headers }).headers.get("retry-after")).toBe("7");
      await expect(client.messages.stream(question).finalMessage()).rejects.toThrow(/Overloaded, said in the stream/);
    });
  });
});
