// Guarantee: what the provider prepares and signs is what a strict Bedrock takes, for every operation, model form and login; its
// streams and errors come back as Anthropic's.
import { afterEach, describe, expect, it } from "vitest";
import { claudeCodeCall, claudeCodeHeaders } from "../../../test/support/claude-code-request.ts";
import { createFakeAwsLogin, createFakeMachine } from "../../../test/support/fake-aws-login.ts";
import { startFakeBedrock, type FakeBedrock, type FakeBedrockOptions } from "../../../test/support/fake-bedrock.ts";
import { manualClock } from "../../kernel/clock.ts";
import { decodeEvents } from "../../wire/sse.ts";
import type { ClientCredential, ProviderCall } from "../provider.ts";
import { bedrock } from "./index.ts";

let fake: FakeBedrock | undefined;
afterEach(async () => {
  await fake?.close();
  fake = undefined;
});

const nowMs = Date.UTC(2026, 10, 23, 12, 0, 0);
const opus = "us.anthropic.claude-opus-5-5";
const arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12";
const keys = { AKIAGOOD: { secret: "good-secret" }, ASIATEMP: { secret: "temp-secret", sessionToken: "to/ken+==" }, AKIAOLD: { secret: "old-secret", isExpired: true } };

interface Stage {
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly options?: FakeBedrockOptions;
  readonly client?: ClientCredential;
  readonly env?: Readonly<Record<string, string>>;
}

async function stage({ settings: more = {}, options = {}, client, env = {} }: Stage = {}) {
  fake = await startFakeBedrock({ keys, now: () => nowMs, arns: { [arn]: "anthropic.claude-opus-5-5" }, ...options });
  const settings = bedrock.settings.parse({ region: "us-east-1", endpoint: fake.url, access_key_id: "AKIAGOOD", secret_access_key: "good-secret", ...more });
  const clock = manualClock();
  const machine = createFakeMachine(clock, createFakeAwsLogin(clock));
  Object.assign(machine.env, env);
  const credentials = bedrock.login!(settings, machine.runtime);
  const send = async (call: ProviderCall): Promise<{ readonly status: number; readonly headers: string[]; readonly body: Buffer }> => {
    const request = await bedrock.authorize(bedrock.prepare(call, settings), settings, { credentials, client, host: new URL(fake!.url).host, nowMs });
    const pairs: [string, string][] = [];
    for (let index = 0; index < request.headers.length; index += 2) pairs.push([request.headers[index]!, request.headers[index + 1]!]);
    const reply = await fetch(`${bedrock.destination(settings).origin}${request.path}`, { method: request.method, headers: pairs, body: new Uint8Array(request.body) });
    return { status: reply.status, headers: [...reply.headers].flat(), body: Buffer.from(await reply.arrayBuffer()) };
  };
  return { send };
}

const call = (more: Partial<ProviderCall> = {}, fields: Readonly<Record<string, unknown>> = {}): ProviderCall => claudeCodeCall(fields, { upstreamModel: opus, ...more });

describe("logins that a strict Bedrock takes", () => {
  it.each<[string, Stage]>([
    ["keys", {}],
    ["temporary keys", { settings: { access_key_id: "ASIATEMP", secret_access_key: "temp-secret", session_token: "to/ken+==" } }],
    ["keys of the environment", { settings: { access_key_id: undefined, secret_access_key: undefined }, env: { AWS_ACCESS_KEY_ID: "AKIAGOOD", AWS_SECRET_ACCESS_KEY: "good-secret" } }],
    ["a Bedrock API key", { settings: { access_key_id: undefined, secret_access_key: undefined, api_key: "bedrock-key" }, options: { bearer: "bedrock-key" } }],
    ["a Bedrock API key of the environment", { settings: { access_key_id: undefined, secret_access_key: undefined }, options: { bearer: "bedrock-key" }, env: { AWS_BEARER_TOKEN_BEDROCK: "bedrock-key" } }],
    ["keys, though the environment has an API key", { env: { AWS_BEARER_TOKEN_BEDROCK: "stray" } }],
    ["the client's own API key", { options: { bearer: "theirs" }, client: { header: "authorization", value: "Bearer theirs" } }],
  ])("%s", async (_name, setup) => {
    const { send } = await stage(setup);
    const { status, body } = await send(call());
    expect([status, fake!.rejections, fake!.violations]).toEqual([200, [], []]);
    expect(body.length).toBeGreaterThan(0);
  });

  it("sign every path as it goes", async () => {
    const { send } = await stage();
    const messages = [{ role: "user", content: "Hi" }];
    for (const [upstreamModel, fields] of [[opus, {}], ["us.anthropic.claude-haiku-4-5-20251001-v1:0", { messages }], [arn, {}]] as const) {
      for (const isStreaming of [true, false]) expect((await send(call({ upstreamModel, isStreaming }, fields))).status).toBe(200);
    }
    const count = { operation: "count_tokens", isStreaming: false, headers: claudeCodeHeaders([]) } as const;
    const counted = await send(call({ ...count, upstreamModel: "us.anthropic.claude-haiku-4-5-20251001-v1:0" }, { max_tokens: undefined, stream: undefined, context_management: undefined, output_config: undefined, tools: undefined, messages }));
    expect([counted.status, fake!.rejections]).toEqual([200, []]);
    expect(JSON.parse(bedrock.countReply!(counted.body).toString())).toEqual({ input_tokens: expect.any(Number) as unknown });
    expect(fake!.requests.map(({ url }) => url)).toContain("/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/invoke");
  });

  it("that there are none of are the operator's matter", async () => {
    const { send } = await stage({ settings: { access_key_id: undefined, secret_access_key: undefined, profile: "absent" } });
    await expect(send(call())).rejects.toMatchObject({ code: "gateway_credential_rejected" });
  });
});

describe("replies of a strict Bedrock", () => {
  it("stream as Anthropic's events, with the usage in them", async () => {
    const { send } = await stage();
    const { body, headers } = await send(call());
    expect(headers.join()).toContain("application/vnd.amazon.eventstream");
    const unframer = bedrock.unframe!();
    const events = decodeEvents(unframer.push(body));
    expect([events[0]!.event, events.at(-2)!.event, events.at(-1)!.event]).toEqual(["message_start", "message_delta", "message_stop"]);
    expect(events.every(({ event, data }) => (JSON.parse(data) as { type: string }).type === event)).toBe(true);
    expect([unframer.fault(), unframer.isAtBorder()]).toEqual([undefined, true]);
    expect(fake!.bill()).toHaveLength(1);
  });

  it.each([["first-event"], ["mid-text"], ["before-usage"]] as const)("may end in an exception frame: %s", async (at) => {
    const { send } = await stage();
    fake!.behave(() => ({ exception: { type: "throttlingException", message: "account 123456789012", at } }));
    const unframer = bedrock.unframe!();
    const events = decodeEvents(unframer.push((await send(call())).body));
    expect(events[0]!.event).toBe("message_start");
    expect(unframer.fault()!.spec).toMatchObject({ status: 429, type: "rate_limit_error" });
  });

  it("of the whole kind are Anthropic's already", async () => {
    const { send } = await stage();
    const { status, body } = await send(call({ isStreaming: false }));
    expect([status, JSON.parse(body.toString())]).toMatchObject([200, { type: "message", usage: {} }]);
  });

  it.each<[string, Stage, ReturnType<NonNullable<typeof bedrock.judge>>]>([
    ["a wrong signature", { settings: { secret_access_key: "wrong" } }, { replyClass: "credential", told: undefined }],
    ["an unknown key", { settings: { access_key_id: "AKIANONE" } }, { replyClass: "credential", told: undefined }],
    ["expired keys", { settings: { access_key_id: "AKIAOLD", secret_access_key: "old-secret" } }, { replyClass: "credential", told: undefined }],
    ["another region", { options: { region: "eu-west-1" } }, { replyClass: "credential", told: undefined }],
    ["a wrong API key", { settings: { access_key_id: undefined, secret_access_key: undefined, api_key: "wrong" }, options: { bearer: "right" } }, { replyClass: "credential", told: undefined }],
    ["a profile of another part of the world", { options: { profiles: ["eu"] } }, { replyClass: "retryable", told: expect.objectContaining({ status: 404 }) as never }],
    ["a model that takes no role system", { options: { acceptsSystemRole: false } }, { replyClass: "deliver", told: expect.objectContaining({ message: expect.stringContaining("capability_rejected: mid_conv_system") as unknown }) as never }],
    ["the same in Anthropic's words", { options: { acceptsSystemRole: false, tellsLikeAnthropic: true } }, { replyClass: "deliver", told: undefined }],
  ])("refuse %s, and are understood", async (_name, setup, verdict) => {
    const { send } = await stage(setup);
    const { status, headers, body } = await send(call());
    expect(status).toBeGreaterThanOrEqual(400);
    expect(bedrock.judge!({ status, headers, body, ownsCredential: false })).toEqual(verdict);
    expect(fake!.bill()).toEqual([]);
  });
});
