// Guarantee: a place on AWS gets the login that the operator wrote, an API key of the environment only where nothing was written; keys
// that were refused are fetched again, at most once a minute; what cannot be had is told apart from what is wrong.
import { describe, expect, it } from "vitest";
import { createFakeAwsLogin, createFakeMachine } from "../../../test/support/fake-aws-login.ts";
import { manualClock } from "../../kernel/clock.ts";
import { Secret } from "../../kernel/secret.ts";
import { createAwsPlaceLogin, type AwsPlaceOptions } from "./place-login.ts";

const role = "arn:aws:iam::123456789012:role/bedrock";
const request = { method: "POST", host: "bedrock-runtime.eu-west-1.amazonaws.com", path: "/model/x/invoke", query: "", headers: [], body: Buffer.from("{}"), nowMs: 0 };

function setup(options: Partial<AwsPlaceOptions> = {}, env: Readonly<Record<string, string>> = {}) {
  const clock = manualClock();
  const fake = createFakeAwsLogin(clock);
  fake.keys.set("AKIAUSER", { secret: "user-secret" });
  fake.roles.set(role, { trusts: ["AKIAUSER"] });
  const machine = createFakeMachine(clock, fake);
  Object.assign(machine.env, env);
  const login = createAwsPlaceLogin({ service: "bedrock", apiKey: undefined, apiKeyVariable: "KEY_HERE", apiKeyHeader: "authorization", credentials: { region: "eu-west-1", allowCredentialProcess: false }, ...options }, machine.runtime);
  const keyOf = async (): Promise<string> => /Credential=([^/]+)\//.exec((await login.headersFor({ ...request, nowMs: clock.now() })).join())?.[1] ?? "";
  return { clock, fake, login, keyOf };
}

const explicit = { region: "eu-west-1", allowCredentialProcess: false, accessKeyId: "AKIAUSER", secretAccessKey: new Secret("user-secret") };

describe("an API key", () => {
  it("goes as a bearer token, or in the header of the place", async () => {
    const apiKey = new Secret("k");
    expect(await setup({ apiKey }).login.headersFor(request)).toEqual(["authorization", "Bearer k"]);
    expect(await setup({ apiKey, apiKeyHeader: "x-api-key" }).login.headersFor(request)).toEqual(["x-api-key", "k"]);
  });

  it("of the environment is taken where nothing else is written", async () => {
    expect(await setup({}, { KEY_HERE: " k " }).login.headersFor(request)).toEqual(["authorization", "Bearer k"]);
    expect(await setup({ apiKey: new Secret("own") }, { KEY_HERE: "k" }).login.headersFor(request)).toEqual(["authorization", "Bearer own"]);
    expect(await setup({ credentials: explicit }, { KEY_HERE: "k" }).keyOf()).toBe("AKIAUSER");
  });
});

describe("keys", () => {
  it("sign for the place's service and region", async () => {
    const headers = await setup({ credentials: explicit, service: "bedrock-mantle" }).login.headersFor(request);
    expect(headers.join()).toContain("/eu-west-1/bedrock-mantle/aws4_request");
  });

  it("that were refused are fetched again, unless they are fresh", async () => {
    const { clock, fake, login, keyOf } = setup({ credentials: { ...explicit, roleArn: role } });
    const first = await keyOf();
    login.refused();
    expect(await keyOf()).toBe(first);
    clock.advance(120_000);
    login.refused();
    const second = await keyOf();
    expect(second).not.toBe(first);
    login.refused();
    expect(await keyOf()).toBe(second);
    expect(fake.seen.filter((line) => line.endsWith("AssumeRole"))).toHaveLength(2);
  });

  it("that cannot be had just now are no wrong keys", async () => {
    const { fake, login } = setup({ credentials: { ...explicit, roleArn: role } });
    fake.unreachable.add("sts.eu-west-1.amazonaws.com");
    await expect(login.headersFor(request)).rejects.toMatchObject({ code: "upstream_unreachable" });
    const refused = setup({ credentials: { ...explicit, secretAccessKey: new Secret("wrong"), roleArn: role } });
    await expect(refused.login.headersFor(request)).rejects.toMatchObject({ code: "gateway_credential_rejected" });
  });
});
