// Guarantee: every dialect and every provider in the registries holds what the pipeline relies on.
import { expect, it } from "vitest";
import { dialects } from "../../src/dialects/registry.ts";
import { Secret } from "../../src/kernel/secret.ts";
import { providers } from "../../src/providers/registry.ts";
import { encodeEvent } from "../../src/wire/sse.ts";
import { dialectSuite, type DialectCorpus } from "./dialect.suite.ts";
import { providerSuite, type ProviderCorpus } from "./provider.suite.ts";

const event = (data: { type: string; [name: string]: unknown }): Buffer => encodeEvent(data.type, JSON.stringify(data));
const usage = { input_tokens: 3, cache_creation_input_tokens: 7, cache_read_input_tokens: 5, cache_creation: { ephemeral_5m_input_tokens: 4, ephemeral_1h_input_tokens: 3 }, output_tokens: 1 };

const dialectCorpora: Record<keyof typeof dialects, DialectCorpus> = {
  "anthropic-messages": {
    requests: [
      { body: Buffer.from('{"model":"claude-x","max_tokens":5,"messages":[]}'), model: "claude-x", isStreaming: false },
      { body: Buffer.from('{"stream":true,"messages":[{"role":"user","content":"\\"model\\": 1"}],"model":"claude-y"}'), model: "claude-y", isStreaming: true },
    ],
    stream: Buffer.concat([
      event({ type: "message_start", message: { model: "claude-x", usage } }),
      event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
      event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: 'ü "usage" 🎈' } }),
      event({ type: "content_block_stop", index: 0 }),
      event({ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 9 } }),
      event({ type: "message_stop" }),
    ]),
    plain: Buffer.from(JSON.stringify({ model: "claude-x", content: [{ type: "text", text: 'ü "usage" 🎈' }], usage: { ...usage, output_tokens: 9 } })),
  },
};

const vertexLogin = {
  source: { get: () => Promise.resolve({ token: new Secret("google-token"), expiresAtMs: undefined, projectId: "team", quotaProject: undefined }), refused: () => {} },
  used: () => {},
  refused: () => {},
};

const providerCorpora: Record<string, ProviderCorpus> = {
  anthropic: { settings: { api_key: "sk-ant-credential" }, envelope: "messages", credential: "sk-ant-credential" },
  "anthropic-aws": { settings: { region: "eu-central-1", api_key: "aws-credential", workspace_id: "wrkspc_1" }, envelope: "messages", credential: "aws-credential" },
  bedrock: { settings: { region: "eu-central-1", api_key: "bedrock-credential" }, envelope: "bedrock", credential: "bedrock-credential" },
  demo: { settings: {}, envelope: "messages", credential: undefined },
  foundry: { settings: { resource: "team", api_key: "foundry-credential" }, envelope: "messages", credential: "foundry-credential" },
  mantle: { settings: { region: "eu-central-1", api_key: "mantle-credential" }, envelope: "messages", credential: "mantle-credential" },
  vertex: { settings: { project: "team", location: "europe-west1" }, envelope: "vertex", credentials: vertexLogin, credential: "google-token" },
};

for (const [id, dialect] of Object.entries(dialects)) dialectSuite(dialect, dialectCorpora[id as keyof typeof dialects]);
for (const [id, provider] of Object.entries(providers)) if (providerCorpora[id] !== undefined) providerSuite(provider, providerCorpora[id]);

it("every provider of the registry has a corpus here", () => {
  expect(Object.keys(providerCorpora).sort()).toEqual(Object.keys(providers).sort());
});
