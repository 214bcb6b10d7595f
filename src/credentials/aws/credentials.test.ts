// Guarantee: each link of AWS's default chain logs in as the real services demand it and in the order of AWS's own clients; keys are
// renewed ahead of their end, once at a time; a login that fails does no harm while the old keys live; changed files are picked up.
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { createFakeAwsLogin, createFakeMachine } from "../../../test/support/fake-aws-login.ts";
import { manualClock } from "../../kernel/clock.ts";
import { Secret } from "../../kernel/secret.ts";
import { createAwsCredentials } from "./credentials.ts";
import type { AwsCredentialOptions } from "./types.ts";

const role = "arn:aws:iam::123456789012:role/bedrock";
const minuteMs = 60_000;

function setup(options: Partial<AwsCredentialOptions> = {}) {
  const clock = manualClock();
  const fake = createFakeAwsLogin(clock);
  const machine = createFakeMachine(clock, fake);
  fake.keys.set("AKIAUSER", { secret: "user-secret" });
  const open = (more: Partial<AwsCredentialOptions> = {}) => createAwsCredentials({ region: "eu-west-1", allowCredentialProcess: false, ...options, ...more }, machine.runtime);
  const envKeys = () => Object.assign(machine.env, { AWS_ACCESS_KEY_ID: "AKIAUSER", AWS_SECRET_ACCESS_KEY: "user-secret" });
  return { clock, fake, machine, open, envKeys, explicit: { accessKeyId: "AKIAUSER", secretAccessKey: new Secret("user-secret") } };
}

const config = "/home/gateway/.aws/config";
const credentialsFile = "/home/gateway/.aws/credentials";
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("the order of the chain", () => {
  it("goes from explicit keys over environment, files, web identity and container to the instance", async () => {
    const { fake, machine, open, explicit, clock } = setup();
    fake.roles.set(role, { trusts: ["web"] });
    fake.webTokens.set("jwt", clock.now() + 3_600_000);
    fake.agents.set("http://169.254.170.2/v2/credentials/1", undefined);
    fake.instanceRole = "node-role";
    Object.assign(machine.env, { AWS_ACCESS_KEY_ID: "AKIAENV", AWS_SECRET_ACCESS_KEY: "e", AWS_SESSION_TOKEN: "t", AWS_ACCOUNT_ID: "210987654321", AWS_WEB_IDENTITY_TOKEN_FILE: "/token", AWS_ROLE_ARN: role, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "/v2/credentials/1" });
    machine.write(credentialsFile, "[default]\naws_access_key_id=AKIAFILE\naws_secret_access_key=f\n");
    machine.write("/token", "jwt\n");

    expect(await open(explicit).get()).toMatchObject({ accessKeyId: "AKIAUSER", expiresAtMs: undefined });
    const fromEnv = await open().get();
    expect(fromEnv).toMatchObject({ accessKeyId: "AKIAENV", accountId: "210987654321" });
    expect(fromEnv.sessionToken!.reveal()).toBe("t");
    expect(fake.seen).toEqual([]);
    // A named profile goes before keys in the environment.
    expect((await open({ profile: "default" }).get()).accessKeyId).toBe("AKIAFILE");
    delete machine.env["AWS_ACCESS_KEY_ID"];
    delete machine.env["AWS_SECRET_ACCESS_KEY"];
    expect((await open().get()).accessKeyId).toBe("AKIAFILE");
    machine.write(credentialsFile, "[default]\nregion=x\n");
    expect(fake.keys.get((await open().get()).accessKeyId)!.from).toBe(role);
    delete machine.env["AWS_WEB_IDENTITY_TOKEN_FILE"];
    expect(fake.keys.get((await open().get()).accessKeyId)!.from).toBe("container");
    delete machine.env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    expect(fake.keys.get((await open().get()).accessKeyId)!.from).toBe("instance");
  });

  it("says where it looked when there is nothing", async () => {
    const { machine, open } = setup();
    await expect(open().get()).rejects.toMatchObject({ name: "CredentialError", isTransient: true, message: expect.stringMatching(/no AWS credentials: no keys in the environment; none in the default profile.*169\.254\.169\.254.*EHOSTUNREACH/) });
    machine.env["AWS_EC2_METADATA_DISABLED"] = "TRUE";
    await expect(open().get()).rejects.toMatchObject({ isTransient: false, message: expect.stringContaining("switched off by AWS_EC2_METADATA_DISABLED") });
  });

  it.each([
    ["half a pair in the environment", { AWS_ACCESS_KEY_ID: "AKIA" }, {}, /AWS_SECRET_ACCESS_KEY is not set/],
    ["half a pair of explicit keys", {}, { secretAccessKey: new Secret("s") }, /access key id is not configured/],
    ["keys in the environment that have ended", { AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "hunter2", AWS_CREDENTIAL_EXPIRATION: "2025-01-01T00:00:00Z" }, {}, /AWS_CREDENTIAL_EXPIRATION has expired/],
    ["a profile that is not there", { AWS_PROFILE: "gone", AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "hunter2" }, {}, /there is no profile "gone"/],
    ["a token file without a role", { AWS_WEB_IDENTITY_TOKEN_FILE: "/t" }, {}, /without AWS_ROLE_ARN/],
    ["a role that is none", { AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "hunter2" }, { roleArn: "bedrock" }, /"bedrock" is not the ARN of an IAM role/],
    ["a region that is none", { AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "hunter2" }, { roleArn: role, region: "evil.example/" }, /is not the name of an AWS region/],
    ["a session name that STS refuses", { AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "hunter2" }, { roleArn: role, roleSessionName: "a b" }, /session name "a b"/],
  ])("ends with a clear error for %s, and never uses another identity", async (_, env, options, words) => {
    const { fake, machine, open } = setup();
    fake.instanceRole = "node-role";
    Object.assign(machine.env, env);
    const fault: unknown = await open(options).get().catch((error: unknown) => error);
    expect(String(fault)).toMatch(words);
    expect(String(fault)).not.toContain("hunter2");
    expect(fake.seen).toEqual([]);
  });
});

describe("roles", () => {
  it("assumes a role at the region's own STS with a valid signature, external id and session name", async () => {
    const { fake, open, explicit, clock } = setup({ roleArn: role, roleSessionName: "gate", externalId: "ext" });
    fake.roles.set(role, { trusts: ["AKIAUSER"], externalId: "ext" });
    const credentials = await open(explicit).get();
    expect(fake.seen).toEqual(["POST sts.eu-west-1.amazonaws.com AssumeRole"]);
    expect(credentials).toMatchObject({ accountId: "123456789012", expiresAtMs: clock.now() + 3_600_000 });
    const key = fake.keys.get(credentials.accessKeyId)!;
    expect([credentials.secretAccessKey.reveal(), credentials.sessionToken!.reveal()]).toEqual([key.secret, key.sessionToken]);
    expect(inspect(credentials, { depth: 9 }) + JSON.stringify(credentials)).not.toContain(key.secret);
  });

  it("signs for the region that an endpoint's name tells", async () => {
    const { fake, open, explicit } = setup({ roleArn: role });
    fake.roles.set(role, { trusts: ["AKIAUSER"] });
    await open({ ...explicit, stsEndpoint: "https://sts.us-east-2.amazonaws.com" }).get();
    await open({ ...explicit, stsEndpoint: "https://sts.amazonaws.com/" }).get();
    expect(fake.seen).toEqual(["POST sts.us-east-2.amazonaws.com AssumeRole", "POST sts.amazonaws.com AssumeRole"]);
    await expect(open({ ...explicit, stsEndpoint: "https://sts.amazonaws.com/path" }).get()).rejects.toThrow(/must be an origin/);
  });

  it.each([
    ["a wrong secret", { secretAccessKey: new Secret("hunter2") }, /SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided$/],
    ["a key that does not exist", { accessKeyId: "AKIANOBODY" }, /InvalidClientTokenId/],
    ["a token that is not the key's", { sessionToken: new Secret("hunter2") }, /InvalidClientTokenId/],
    ["a role that trusts another", { roleArn: `${role}-other` }, /AccessDenied: User: .* on resource: arn:aws:iam::123456789012:role\/bedrock-other/],
    ["a wrong external id", { externalId: "no" }, /AccessDenied/],
  ])("tells STS's reason for %s, without what it repeats of the request", async (_, options, words) => {
    const { fake, open, explicit } = setup({ roleArn: role, externalId: "ext" });
    fake.roles.set(role, { trusts: ["AKIAUSER"], externalId: "ext" });
    const fault: unknown = await open({ ...explicit, ...options }).get().catch((error: unknown) => error);
    expect(fault).toMatchObject({ name: "CredentialError", isTransient: false });
    expect(String(fault)).toMatch(words);
    expect(String(fault)).not.toMatch(/hunter2|user-secret|Canonical/);
  });

  it.each([
    ["no XML", "hunter2"],
    ["no result", "<AssumeRoleResponse></AssumeRoleResponse>"],
    ["the result of another action", "<GetSessionTokenResult><Credentials></Credentials></GetSessionTokenResult>"],
    ["two sets of keys", "<AssumeRoleResult><Credentials>hunter2</Credentials><Credentials></Credentials></AssumeRoleResult>"],
    ["a key within a key", "<AssumeRoleResult><Credentials><AccessKeyId><b>hunter2</b></AccessKeyId></Credentials></AssumeRoleResult>"],
    ["two secrets", "<AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey><SecretAccessKey>x</SecretAccessKey></Credentials></AssumeRoleResult>"],
    ["no token", "<AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey></Credentials></AssumeRoleResult>"],
    ["an end that is none", "<AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey><SessionToken>t</SessionToken><Expiration>soon</Expiration></Credentials></AssumeRoleResult>"],
    ["an end that has passed", "<AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2025-12-31T23:59:59Z</Expiration></Credentials></AssumeRoleResult>"],
  ])("does not make do with a reply that has %s", async (_, text) => {
    const { machine, explicit } = setup();
    const runtime = { ...machine.runtime, request: () => Promise.resolve({ status: 200, headers: [], body: Buffer.from(text) }) };
    const fault: unknown = await createAwsCredentials({ region: "eu-west-1", allowCredentialProcess: false, roleArn: role, ...explicit }, runtime).get().catch((error: unknown) => error);
    expect(String(fault)).toMatch(/^CredentialError: the reply of STS at sts\.eu-west-1\.amazonaws\.com (?:does not have one|has) /);
    expect(String(fault)).not.toContain("hunter2");
  });

  it("calls a busy or silent STS a passing fault", async () => {
    const { fake, open, explicit } = setup({ roleArn: role });
    fake.failing.add("sts.eu-west-1.amazonaws.com");
    await expect(open(explicit).get()).rejects.toMatchObject({ isTransient: true, message: expect.stringContaining("status 503") });
    fake.unreachable.add("sts.eu-west-1.amazonaws.com");
    await expect(open(explicit).get()).rejects.toMatchObject({ isTransient: true, message: "STS at sts.eu-west-1.amazonaws.com did not answer (ETIMEDOUT)" });
  });

  it("uses a web identity, of the options or of the environment, and refuses one that has ended", async () => {
    const { fake, machine, open, clock } = setup();
    fake.roles.set(role, { trusts: ["web"] });
    fake.webTokens.set("jwt", clock.now() + 10 * minuteMs);
    machine.write("/token", "jwt\n");
    expect(fake.keys.get((await open({ webIdentityTokenFile: "/token", roleArn: role }).get()).accessKeyId)!.from).toBe(role);
    Object.assign(machine.env, { AWS_WEB_IDENTITY_TOKEN_FILE: "/token", AWS_ROLE_ARN: role });
    // The wanted role is had already, and is not assumed a second time.
    await open({ roleArn: role }).get();
    expect(fake.seen).toEqual(Array.from({ length: 2 }, () => "POST sts.eu-west-1.amazonaws.com AssumeRoleWithWebIdentity"));
    fake.roles.set(`${role}-2`, { trusts: [role] });
    expect(fake.keys.get((await open({ roleArn: `${role}-2` }).get()).accessKeyId)!.from).toBe(`${role}-2`);

    clock.advance(11 * minuteMs);
    await expect(open().get()).rejects.toMatchObject({ isTransient: false, message: expect.stringContaining("ExpiredTokenException") });
    machine.write("/token", "forged");
    await expect(open().get()).rejects.toThrow(/InvalidIdentityToken: The web identity token provided could not be validated$/);
    machine.write("/token", undefined);
    await expect(open().get()).rejects.toThrow(/the web identity token file \/token is not there/);
  });
});

describe("containers", () => {
  it("sends the token of the file or the variable to an allowed host", async () => {
    const { fake, machine, open } = setup();
    const url = "http://169.254.170.23/v1/credentials";
    fake.agents.set(url, "pod-token");
    Object.assign(machine.env, { AWS_CONTAINER_CREDENTIALS_FULL_URI: url, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: "/pod", AWS_CONTAINER_AUTHORIZATION_TOKEN: "other" });
    machine.write("/pod", "pod-token\n");
    expect(fake.keys.get((await open().get()).accessKeyId)!.from).toBe("container");
    machine.write("/pod", "wrong");
    await expect(open().get()).rejects.toThrow(/answered 400: AccessDeniedException: Unable to validate the token/);
    delete machine.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
    machine.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "pod-token";
    expect(fake.keys.get((await open().get()).accessKeyId)!.from).toBe("container");
    machine.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "a\nx-evil: 1";
    await expect(open().get()).rejects.toThrow(/no header may hold/);
  });

  it.each(["http://example.com/x", "http://169.254.169.254/x", "http://127.0.0.1.example.com/x", "http://[fd00:ec2::24]/x", "ftp://127.0.0.1/x", "not a url", "http://u:p@127.0.0.1/x", "http://u@127.0.0.1/x"])("does not ask %s", async (url) => {
    const { fake, machine, open } = setup();
    machine.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    await expect(open().get()).rejects.toThrow(/AWS_CONTAINER_CREDENTIALS_FULL_URI/);
    expect(fake.seen).toEqual([]);
  });

  it.each(["https://agent.example.com/x", "http://127.9.9.9:81/x?a=b", "http://localhost/x", "http://[::1]/x", "http://[fd00:ec2::23]/x"])("asks %s", async (url) => {
    const { fake, machine, open } = setup();
    fake.agents.set(new URL(url).href, undefined);
    machine.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    expect(fake.keys.get((await open().get()).accessKeyId)!.from).toBe("container");
  });

  it("does not leave the agent's host by way of the relative address", async () => {
    const { machine, open } = setup();
    for (const path of ["//evil.example/x", "http://evil.example", "/\\evil.example"]) {
      machine.env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = path;
      await expect(open().get()).rejects.toThrow(/begins with one slash/);
    }
  });
});

describe("instances", () => {
  it("fetches a token, the role's name and its keys, in version 2 only", async () => {
    const { fake, open } = setup();
    fake.instanceRole = "node-role";
    await open().get();
    const base = "169.254.169.254/latest/meta-data/iam/security-credentials/";
    expect(fake.seen).toEqual(["PUT 169.254.169.254/latest/api/token", `GET ${base}`, `GET ${base}node-role`]);
    fake.instanceFault = "AssumeRoleUnauthorizedAccess";
    await expect(open().get()).rejects.toMatchObject({ isTransient: true, message: expect.stringContaining("no credentials for node-role: AssumeRoleUnauthorizedAccess") });
    fake.instanceRole = "";
    await expect(open().get()).rejects.toThrow(/the instance has no role/);
    fake.failing.add("169.254.169.254");
    await expect(open().get()).rejects.toMatchObject({ isTransient: true, message: expect.stringContaining("version 1 is not used") });
  });

  it("asks twice a minute, and not at every request, while the service gives out keys near their end", async () => {
    const { fake, machine, open, clock } = setup();
    fake.instanceRole = "node-role";
    fake.lifeMs = 4 * minuteMs;
    const source = open();
    const first = await source.get();
    const asked = fake.seen.length;
    for (let request = 0; request < 20; request++) {
      await source.get();
      await settled();
    }
    expect(fake.seen).toHaveLength(asked);
    clock.advance(31_000);
    await source.get();
    await settled();
    expect(fake.seen).toHaveLength(2 * asked);
    const second = await source.get();
    expect(second.accessKeyId).not.toBe(first.accessKeyId);
    clock.advance(31_000);
    source.refused(second);
    expect((await source.get()).accessKeyId).not.toBe(second.accessKeyId);
    // A new file is seen all the same.
    machine.write(credentialsFile, "[default]\naws_access_key_id=AKIAFILE\naws_secret_access_key=s\n");
    clock.advance(2_000);
    await source.get();
    await settled();
    expect((await source.get()).accessKeyId).toBe("AKIAFILE");
  });
});

describe("keeping fresh", () => {
  it("logs in once for requests that come together", async () => {
    const { fake, open, explicit } = setup({ roleArn: role });
    fake.roles.set(role, { trusts: ["AKIAUSER"] });
    let letGo = (): void => undefined;
    fake.gate = new Promise((resolve) => (letGo = resolve));
    const source = open(explicit);
    const waiting = Promise.all(Array.from({ length: 20 }, () => source.get()));
    letGo();
    const ids = new Set((await waiting).map(({ accessKeyId }) => accessKeyId));
    expect(ids.size).toBe(1);
    expect(fake.seen).toHaveLength(1);
  });

  it("renews ahead of the end in the background, and lives on with the old keys while STS fails", async () => {
    const { fake, open, explicit, clock } = setup({ roleArn: role });
    fake.roles.set(role, { trusts: ["AKIAUSER"] });
    const source = open(explicit);
    const first = await source.get();
    clock.advance(56 * minuteMs);
    fake.failing.add("sts.eu-west-1.amazonaws.com");
    for (let request = 0; request < 5; request++) {
      expect(await source.get()).toBe(first);
      await settled();
    }
    expect(fake.seen).toHaveLength(2);
    fake.failing.clear();
    clock.advance(6_000);
    expect(await source.get()).toBe(first);
    await settled();
    const second = await source.get();
    expect(second.accessKeyId).not.toBe(first.accessKeyId);
    clock.advance(61 * minuteMs);
    fake.failing.add("sts.eu-west-1.amazonaws.com");
    await expect(source.get()).rejects.toThrow(/503/);
  });

  it("logs in again after the upstream refused the keys", async () => {
    const { fake, open, explicit, clock } = setup({ roleArn: role });
    fake.roles.set(role, { trusts: ["AKIAUSER"] });
    const source = open(explicit);
    const first = await source.get();
    source.refused(first);
    // Not at once: what has just been made would be no better for being made again.
    expect(await source.get()).toBe(first);
    clock.advance(31_000);
    source.refused(first);
    expect((await source.get()).accessKeyId).not.toBe(first.accessKeyId);
  });

  it("picks up a changed, a new and a mended file, and keeps the old keys while a file is wrong", async () => {
    const { machine, open, clock } = setup();
    const keys = (id: string) => `[default]\naws_access_key_id=${id}\naws_secret_access_key=hunter2\n`;
    machine.write(credentialsFile, keys("AKIA1"));
    const source = open();
    const next = async () => {
      clock.advance(6_000);
      await source.get();
      await settled();
      return (await source.get()).accessKeyId;
    };
    expect((await source.get()).accessKeyId).toBe("AKIA1");
    machine.write(credentialsFile, keys("AKIA2"));
    expect(await next()).toBe("AKIA2");
    machine.write(credentialsFile, `${keys("AKIA3")}hunter2`);
    expect(await next()).toBe("AKIA2");
    await expect(open().get()).rejects.toThrow("~/.aws/credentials:4: this line is neither a heading in brackets nor a setting with \"=\"");
    machine.write(credentialsFile, keys("AKIA4"));
    expect(await next()).toBe("AKIA4");
    machine.write(config, keys("AKIA5"));
    machine.write(credentialsFile, undefined);
    expect(await next()).toBe("AKIA5");
  });

  it("looks at files once a second at most", async () => {
    const { machine, clock } = setup();
    machine.write(credentialsFile, "[default]\naws_access_key_id=A\naws_secret_access_key=s\n");
    let looks = 0;
    const { runtime } = machine;
    const source = createAwsCredentials({ region: "eu-west-1", allowCredentialProcess: false }, { ...runtime, modifiedAtMs: (path) => (looks++, runtime.modifiedAtMs(path)) });
    await source.get();
    looks = 0;
    clock.advance(1_500);
    for (let request = 0; request < 50; request++) await source.get();
    expect(looks).toBe(2);
  });
});
