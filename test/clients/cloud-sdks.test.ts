/**
 * Guarantee: the SDKs of the clouds work through the gateway with nothing changed but their base address and credential, whatever
 * place serves the model: plain and streamed messages, token counts where they have them, and errors that arrive as the SDK's own
 * classes with words that help.
 */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { cloudScene, type CloudName, type CloudScene } from "./cloud-stage.ts";

/** As much of the Anthropic SDKs as is used here; their own types are only there when the clients are installed. */
interface Client {
  readonly messages: {
    create(body: object): Promise<Message>;
    stream(body: object): { finalMessage(): Promise<Message> };
    countTokens(body: object): Promise<{ readonly input_tokens: number }>;
  };
}

interface Message {
  readonly content: readonly { readonly type: string; readonly text?: string }[];
  readonly usage: { readonly input_tokens: number; readonly output_tokens: number };
  readonly stop_reason: string | null;
}

type ErrorClass = new (...parts: never[]) => Error;
type ClientClass = new (options: object) => Client;
type Module = Readonly<Record<string, unknown>>;

const modules = new Map<string, Module>();
const packages = ["@anthropic-ai/bedrock-sdk", "@anthropic-ai/vertex-sdk", "@anthropic-ai/foundry-sdk", "@anthropic-ai/sdk", "@aws-sdk/client-bedrock-runtime", "@smithy/node-http-handler"];

beforeAll(async () => {
  const { resolve } = createRequire(import.meta.url);
  for (const name of packages) modules.set(name, (await import(pathToFileURL(resolve(name)).href)) as Module);
});

function part<Part>(name: string, member: string): Part {
  return modules.get(name)?.[member] as Part;
}

const model = "claude-opus-4-8";
const bedrockModel = `us.anthropic.${model}`;
const messages = [{ role: "user", content: "Say it." }];
const places: readonly CloudName[] = ["bedrock", "vertex", "foundry"];

/** One SDK as its users set it up. */
interface Sdk {
  readonly title: string;
  /** A place that speaks as it does. */
  readonly home: CloudName;
  readonly model: string;
  create(stage: CloudScene, key: string): Client;
  /** Whether it knows where to count tokens; the method is there in any case. */
  readonly canCount: boolean;
}

const sdks: readonly Sdk[] = [
  {
    title: "@anthropic-ai/sdk 1.12.0",
    home: "foundry",
    model,
    create: ({ tee }, key) => new (part<ClientClass>("@anthropic-ai/sdk", "Anthropic"))({ baseURL: tee.url, apiKey: key, maxRetries: 0 }),
    canCount: true,
  },
  {
    title: "@anthropic-ai/bedrock-sdk 1.1.3 with the key as its API key",
    home: "bedrock",
    model: bedrockModel,
    create: ({ tee }, key) => new (part<ClientClass>("@anthropic-ai/bedrock-sdk", "AnthropicBedrock"))({ baseURL: `${tee.url}/bedrock`, awsRegion: "us-east-1", apiKey: key, maxRetries: 0 }),
    canCount: false,
  },
  {
    title: "@anthropic-ai/bedrock-sdk 1.1.3 with skipped auth and the key in a header",
    home: "bedrock",
    model: bedrockModel,
    create: ({ tee }, key) =>
      new (part<ClientClass>("@anthropic-ai/bedrock-sdk", "AnthropicBedrock"))({ baseURL: `${tee.url}/bedrock`, awsRegion: "us-east-1", skipAuth: true, defaultHeaders: { authorization: `Bearer ${key}` }, maxRetries: 0 }),
    canCount: false,
  },
  {
    title: "@anthropic-ai/vertex-sdk 1.1.3 with an auth client that gives the key",
    home: "vertex",
    model,
    create: ({ tee }, key) =>
      new (part<ClientClass>("@anthropic-ai/vertex-sdk", "AnthropicVertex"))({ baseURL: `${tee.url}/vertex_ai/v1`, region: "europe-west1", projectId: "developers-project", authClient: authClient(key), maxRetries: 0 }),
    canCount: true,
  },
  {
    title: "@anthropic-ai/foundry-sdk 1.1.1 with the key as its API key",
    home: "foundry",
    model,
    create: ({ tee }, key) => new (part<ClientClass>("@anthropic-ai/foundry-sdk", "AnthropicFoundry"))({ baseURL: `${tee.url}/foundry`, apiKey: key, maxRetries: 0 }),
    canCount: true,
  },
];

/** What the Vertex SDK wants of Google's library. */
function authClient(token: string): object {
  return { getRequestHeaders: () => Promise.resolve(new Headers({ authorization: `Bearer ${token}` })) };
}

describe.each(sdks)("$title", (sdk) => {
  const question = { model: sdk.model, max_tokens: 64, messages };

  it.each(places)("gets a plain answer and a streamed one that says the same, in front of %s", async (place) => {
    await cloudScene({ place }, async (stage) => {
      stage.expect({ isUntouched: place === sdk.home });
      stage.fake.behave(() => ({ text: "the same words" }));
      const client = sdk.create(stage, await stage.key());
      const plain = await client.messages.create(question);
      const streamed = await client.messages.stream(question).finalMessage();
      expect(plain.content).toMatchObject([{ type: "text", text: "the same words" }]);
      expect(streamed.content).toEqual(plain.content);
      expect([streamed.usage.output_tokens, streamed.stop_reason]).toEqual([plain.usage.output_tokens, "end_turn"]);
      // The version that these SDKs speak, wherever the place wants it.
      expect(stage.fake.requests.map(({ headers, json }) => json?.["anthropic_version"] ?? headers["anthropic-version"])).toEqual(["2026-10-21", "2026-10-21"]);
    });
  });

  it(sdk.canCount ? "counts tokens without being billed" : "has no address to count tokens at, and is told so", async () => {
    await cloudScene({ place: sdk.home }, async (stage) => {
      const counting = sdk.create(stage, await stage.key()).messages.countTokens({ model: sdk.model, messages });
      if (sdk.canCount) expect((await counting).input_tokens).toBeGreaterThan(0);
      else {
        await expect(counting).rejects.toBeInstanceOf(part<ErrorClass>("@anthropic-ai/sdk", "NotFoundError"));
        stage.expect({ heldBack: 1 });
      }
      expect(stage.fake.bill()).toEqual([]);
    });
  });

  it("throws its own classes for what the gateway refuses", async () => {
    await cloudScene({ place: sdk.home }, async (stage) => {
      stage.expect({ heldBack: 2 });
      await expect(sdk.create(stage, "sk-nobody").messages.create(question)).rejects.toBeInstanceOf(part<ErrorClass>("@anthropic-ai/sdk", "AuthenticationError"));
      const limited = sdk.create(stage, await stage.key({ models: ["claude-haiku-4-5"] }));
      const refusal = await limited.messages.create(question).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(part<ErrorClass>("@anthropic-ai/sdk", "NotFoundError"));
      expect(String(refusal)).toContain("not available to this key");
    });
  });

  it("throws its own classes for what the place refuses or breaks off", async () => {
    await cloudScene({ place: sdk.home }, async (stage) => {
      stage.expect({ scriptedErrors: 2, cutAnswers: 1 });
      const client = sdk.create(stage, await stage.key());
      const asked = async (behaviour: object): Promise<unknown> => {
        stage.fake.behave(() => behaviour);
        return client.messages.create(question).catch((error: unknown) => error);
      };
      expect(await asked({ status: 400, message: "prompt is too long: 1 token > 0 maximum" })).toMatchObject({ status: 400, message: expect.stringContaining("prompt is too long: 1 token > 0 maximum") as string });
      const limited = await asked({ status: 429, headers: { "retry-after": "7" } });
      expect(limited).toBeInstanceOf(part<ErrorClass>("@anthropic-ai/sdk", "RateLimitError"));
      expect((limited as { headers: Headers }).headers.get("retry-after")).toBe("7");
      stage.fake.behave(() => ({ text: "word ".repeat(40), fault: { at: "mid-text", does: "destroy" } }));
      await expect(client.messages.stream(question).finalMessage()).rejects.toBeInstanceOf(part<ErrorClass>("@anthropic-ai/sdk", "APIError"));
    });
  });
});

describe("@anthropic-ai/bedrock-sdk 1.1.3 that signs with AWS keys", () => {
  it("is told what to set, since a signature names nobody here", async () => {
    await cloudScene({ place: "bedrock" }, async (stage) => {
      stage.expect({ heldBack: 1 });
      const client = new (part<ClientClass>("@anthropic-ai/bedrock-sdk", "AnthropicBedrock"))({ baseURL: `${stage.tee.url}/bedrock`, awsRegion: "us-east-1", awsAccessKey: "AKIDOFADEVELOPER", awsSecretKey: "secret-of-a-developer", maxRetries: 0 });
      const refusal = await client.messages.create({ model: bedrockModel, max_tokens: 64, messages }).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(part<ErrorClass>("@anthropic-ai/sdk", "AuthenticationError"));
      expect(String(refusal)).toContain("CLAUDE_CODE_SKIP_BEDROCK_AUTH=1");
    });
  });
});

/** As much of AWS's SDK as is used here. */
interface AwsClient {
  send(command: object): Promise<AwsReply>;
  destroy(): void;
}

interface AwsReply {
  readonly body: Uint8Array | AsyncIterable<{ readonly chunk?: { readonly bytes: Uint8Array } }>;
  readonly contentType?: string;
  readonly inputTokens?: number;
}

type CommandClass = new (input: object) => object;
const aws = <Part>(member: string): Part => part<Part>("@aws-sdk/client-bedrock-runtime", member);

/** AWS's client as documented: its HTTP/1.1 handler, the Tollgate key as bearer token. */
function awsClient(stage: CloudScene, options: object): AwsClient {
  const handler = new (part<new (options: object) => object>("@smithy/node-http-handler", "NodeHttpHandler"))({});
  return new (aws<new (options: object) => AwsClient>("BedrockRuntimeClient"))({ region: "us-east-1", endpoint: `${stage.tee.url}/bedrock`, requestHandler: handler, maxAttempts: 1, ...options });
}

function withBearer(stage: CloudScene, key: string): AwsClient {
  return awsClient(stage, { token: { token: key }, authSchemePreference: ["httpBearerAuth"] });
}

const invocation = { modelId: bedrockModel, contentType: "application/json", accept: "application/json", body: JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 64, messages }) };

/** The dialect's events in a stream that AWS's SDK has decoded. */
async function eventsIn({ body }: AwsReply): Promise<readonly { readonly type: string; readonly delta?: { readonly text?: string } }[]> {
  const events: { readonly type: string; readonly delta?: { readonly text?: string } }[] = [];
  for await (const { chunk } of body as AsyncIterable<{ readonly chunk?: { readonly bytes: Uint8Array } }>) {
    if (chunk !== undefined) events.push(JSON.parse(Buffer.from(chunk.bytes).toString()) as { readonly type: string });
  }
  return events;
}

describe("@aws-sdk/client-bedrock-runtime 3.1164.0 over HTTP/1.1 with the key as bearer token", () => {
  it.each(places)("gets a plain answer and a streamed one that says the same, in front of %s", async (place) => {
    await cloudScene({ place }, async (stage) => {
      stage.fake.behave(() => ({ text: "the same words" }));
      const client = withBearer(stage, await stage.key());
      const plain = await client.send(new (aws<CommandClass>("InvokeModelCommand"))(invocation));
      expect(JSON.parse(Buffer.from(plain.body as Uint8Array).toString())).toMatchObject({ type: "message", content: [{ text: "the same words" }] });
      const streamed = await client.send(new (aws<CommandClass>("InvokeModelWithResponseStreamCommand"))(invocation));
      const events = await eventsIn(streamed);
      expect([events[0]?.type, events.at(-1)?.type]).toEqual(["message_start", "message_stop"]);
      expect(events.map(({ delta }) => delta?.text ?? "").join("")).toBe("the same words");
      client.destroy();
    });
  });

  it("counts tokens without being billed", async () => {
    await cloudScene({ place: "bedrock" }, async (stage) => {
      const client = withBearer(stage, await stage.key());
      const input = { invokeModel: { body: Buffer.from(invocation.body) } };
      const { inputTokens } = await client.send(new (aws<CommandClass>("CountTokensCommand"))({ modelId: `anthropic.${model}`, input }));
      expect(inputTokens).toBeGreaterThan(0);
      expect(stage.fake.bill()).toEqual([]);
      client.destroy();
    });
  });

  it("throws its own classes for what the gateway refuses", async () => {
    await cloudScene({ place: "bedrock" }, async (stage) => {
      stage.expect({ heldBack: 2 });
      const command = new (aws<CommandClass>("InvokeModelCommand"))(invocation);
      const stranger = withBearer(stage, "sk-nobody");
      await expect(stranger.send(command)).rejects.toMatchObject({ name: "UnrecognizedClientException", $metadata: { httpStatusCode: 401 } });
      const limited = withBearer(stage, await stage.key({ models: ["claude-haiku-4-5"] }));
      const refusal = await limited.send(command).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(aws<ErrorClass>("ResourceNotFoundException"));
      expect(String(refusal)).toContain("not available to this key");
      stranger.destroy();
      limited.destroy();
    });
  });

  it("throws its own classes for what the place refuses or breaks off", async () => {
    await cloudScene({ place: "bedrock" }, async (stage) => {
      stage.expect({ scriptedErrors: 2, cutAnswers: 1 });
      const client = withBearer(stage, await stage.key());
      const command = new (aws<CommandClass>("InvokeModelCommand"))(invocation);
      stage.fake.behave(() => ({ status: 400, message: "prompt is too long: 1 token > 0 maximum" }));
      const refusal = await client.send(command).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(aws<ErrorClass>("ValidationException"));
      expect(String(refusal)).toContain("prompt is too long: 1 token > 0 maximum");
      stage.fake.behave(() => ({ status: 429 }));
      await expect(client.send(command)).rejects.toBeInstanceOf(aws<ErrorClass>("ThrottlingException"));
      stage.fake.behave(() => ({ text: "word ".repeat(40), fault: { at: "mid-text", does: "destroy" } }));
      const broken = await client.send(new (aws<CommandClass>("InvokeModelWithResponseStreamCommand"))(invocation));
      await expect(eventsIn(broken)).rejects.toMatchObject({ name: "ModelStreamErrorException" });
      client.destroy();
    });
  });

  it("is told what to set when it signs, since a signature names nobody here", async () => {
    await cloudScene({ place: "bedrock" }, async (stage) => {
      stage.expect({ heldBack: 1 });
      const client = awsClient(stage, { credentials: { accessKeyId: "AKIDOFADEVELOPER", secretAccessKey: "secret-of-a-developer" } });
      const refusal = await client.send(new (aws<CommandClass>("InvokeModelCommand"))(invocation)).catch((error: unknown) => error);
      expect(refusal).toMatchObject({ name: "UnrecognizedClientException", message: expect.stringContaining("CLAUDE_CODE_SKIP_BEDROCK_AUTH=1") as string });
      client.destroy();
    });
  });
});

describe("@aws-sdk/client-bedrock-runtime 3.1164.0 with its own HTTP/2 handler", () => {
  it("fails at once, since this port speaks HTTP/1.1; the gateway's sentence about it is only seen on the wire", async () => {
    await cloudScene({ place: "bedrock" }, async (stage) => {
      const client = awsClient(stage, { endpoint: `${stage.gateway.url}/bedrock`, requestHandler: undefined, token: { token: await stage.key() }, authSchemePreference: ["httpBearerAuth"] });
      await expect(client.send(new (aws<CommandClass>("InvokeModelCommand"))(invocation))).rejects.toThrow("Protocol error");
      expect(stage.fake.requests).toEqual([]);
      client.destroy();
    });
  });
});
