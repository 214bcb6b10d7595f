// Guarantee: profiles of the shared files give the credentials that AWS's own clients would take, by way of roles, sources, programs
// and SSO; whatever is wrong with one is an error that names its place and no secret.
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createFakeAwsLogin, createFakeMachine } from "../../../test/support/fake-aws-login.ts";
import { manualClock } from "../../kernel/clock.ts";
import { createAwsCredentials } from "./credentials.ts";
import type { AwsCredentialOptions } from "./types.ts";

const role = "arn:aws:iam::123456789012:role/bedrock";
const config = "/home/gateway/.aws/config";
const minuteMs = 60_000;

function setup(configText: string, credentialsText?: string) {
  const clock = manualClock();
  const fake = createFakeAwsLogin(clock);
  const machine = createFakeMachine(clock, fake);
  fake.keys.set("AKIAUSER", { secret: "user-secret" });
  machine.env["AWS_EC2_METADATA_DISABLED"] = "true";
  machine.write(config, configText);
  if (credentialsText !== undefined) machine.write("/home/gateway/.aws/credentials", credentialsText);
  const open = (options: Partial<AwsCredentialOptions> = {}) => createAwsCredentials({ region: "eu-west-1", allowCredentialProcess: false, profile: "p", ...options }, machine.runtime);
  const from = async (options: Partial<AwsCredentialOptions> = {}) => fake.keys.get((await open(options).get()).accessKeyId)?.from;
  return { clock, fake, machine, open, from };
}

const userKeys = "aws_access_key_id=AKIAUSER\naws_secret_access_key=user-secret\n";

describe("profiles with a role", () => {
  it("assumes it with the keys of another profile, or with its own", async () => {
    const { fake, from } = setup(`[profile p]\nrole_arn=${role}\nsource_profile=base\nexternal_id=ext\nrole_session_name=gate\nduration_seconds=900\n[profile self]\nrole_arn=${role}\nexternal_id=ext\nsource_profile=self\n${userKeys}`, `[base]\n${userKeys}`);
    fake.roles.set(role, { trusts: ["AKIAUSER"], externalId: "ext" });
    expect(await from()).toBe(role);
    expect(await from({ profile: "self" })).toBe(role);
  });

  it("goes along a row of roles, each assumed by the one before", async () => {
    const { fake, from } = setup(`[profile p]\nrole_arn=${role}-2\nsource_profile=q\n[profile q]\nrole_arn=${role}-1\nsource_profile=r\n[profile r]\n${userKeys}`);
    fake.roles.set(`${role}-1`, { trusts: ["AKIAUSER"] });
    fake.roles.set(`${role}-2`, { trusts: [`${role}-1`] });
    expect(await from()).toBe(`${role}-2`);
    expect(fake.seen).toHaveLength(2);
  });

  it("takes the source's keys, although the source has a role of its own", async () => {
    const { fake, from } = setup(`[profile p]\nrole_arn=${role}\nsource_profile=q\n[profile q]\nrole_arn=${role}-1\nsource_profile=r\n${userKeys}`);
    fake.roles.set(role, { trusts: ["AKIAUSER"] });
    expect(await from()).toBe(role);
    expect(fake.seen).toHaveLength(1);
  });

  it.each([
    ["Environment", { AWS_ACCESS_KEY_ID: "AKIAUSER", AWS_SECRET_ACCESS_KEY: "user-secret" }, "AKIAUSER"],
    ["EcsContainer", { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: "/x" }, "container"],
    ["Ec2InstanceMetadata", { AWS_EC2_METADATA_DISABLED: "" }, "instance"],
  ])("takes its source from %s, also at the end of a row", async (source, env, trusted) => {
    const { fake, machine, from } = setup(`[profile p]\nrole_arn=${role}\ncredential_source=${source}\n[profile row]\nrole_arn=${role}\nsource_profile=end\n[profile end]\ncredential_source=${source}`);
    Object.assign(machine.env, env);
    fake.agents.set("http://169.254.170.2/x", undefined);
    fake.instanceRole = "node-role";
    fake.roles.set(role, { trusts: [trusted] });
    expect(await from()).toBe(role);
    expect(await from({ profile: "row" })).toBe(role);
  });

  it("takes a web identity of its own", async () => {
    const { fake, machine, from, clock } = setup(`[profile p]\nrole_arn=${role}\nweb_identity_token_file=/token`);
    fake.roles.set(role, { trusts: ["web"] });
    fake.webTokens.set("jwt", clock.now() + minuteMs);
    machine.write("/token", "jwt");
    expect(await from()).toBe(role);
  });

  it("reads the files that the environment names", async () => {
    const { machine, open } = setup("[profile p]\nregion=x");
    Object.assign(machine.env, { AWS_CONFIG_FILE: "/etc/aws", AWS_SHARED_CREDENTIALS_FILE: "~/keys", AWS_PROFILE: "p" });
    machine.write("/home/gateway/keys", "[p]\naws_access_key_id=AKIAKEYS\naws_secret_access_key=s\naws_session_token=t");
    const { accessKeyId, sessionToken } = await createAwsCredentials({ region: "eu-west-1", allowCredentialProcess: false }, machine.runtime).get();
    expect([accessKeyId, sessionToken!.reveal()]).toEqual(["AKIAKEYS", "t"]);
    machine.write("/etc/aws", "denied");
    await expect(open().get()).rejects.toThrow("/etc/aws cannot be read (EACCES)");
  });
});

describe("wrong profiles", () => {
  it.each([
    ["a second factor", `[profile p]\nrole_arn=${role}\nsource_profile=p\nmfa_serial=arn:aws:iam::1:mfa/x`, /^CredentialError: ~\/\.aws\/config:4: .*second factor/],
    ["a circle", `[profile p]\nrole_arn=${role}\nsource_profile=q\n[profile q]\nrole_arn=${role}\nsource_profile=p`, /config:1: .*leads back/],
    ["a source that is not there", `[profile p]\nrole_arn=${role}\nsource_profile=q`, /config:1: .*"q", which is not there/],
    ["two sources", `[profile p]\nrole_arn=${role}\nsource_profile=p\ncredential_source=Environment`, /both source_profile and credential_source/],
    ["a role without a source", `[profile p]\nrole_arn=${role}`, /neither source_profile/],
    ["an unknown source", `[profile p]\nrole_arn=${role}\ncredential_source=Moon`, /none of Environment/],
    ["a source that is empty", `[profile p]\nrole_arn=${role}\ncredential_source=Environment`, /and there are none/],
    ["half a pair of keys", "[profile p]\naws_secret_access_key=hunter2", /has no aws_access_key_id/],
    ["a token file without a role", "[profile p]\nweb_identity_token_file=/t", /without role_arn/],
    ["a source without a role", `[profile p]\nsource_profile=q`, /holds no credentials/],
    ["an unsupported login", "[profile p]\nlogin_session=x", /login_session, which is not supported/],
    ["a program that may not run", "[profile p]\ncredential_process=/bin/x hunter2", /allow_credential_process: true/],
    ["a duration that is none", `[profile p]\nrole_arn=${role}\nsource_profile=p\nduration_seconds=1h`, /duration_seconds/],
    ["SSO without an account", "[profile p]\nsso_session=s\nsso_role_name=r\n[sso-session s]\nsso_region=eu-central-1\nsso_start_url=https://x", /config:1: .*sso_account_id/],
    ["a session that is not there", "[profile p]\nsso_session=s\nsso_role_name=r\nsso_account_id=1", /"s", which is not there/],
    ["a session without its region", "[profile p]\nsso_session=s\nsso_role_name=r\nsso_account_id=1\n[sso-session s]\nsso_start_url=https://x", /config:5: .*"s" has no sso_region/],
    ["a session of another region", "[profile p]\nsso_session=s\nsso_role_name=r\nsso_account_id=1\nsso_region=a\n[sso-session s]\nsso_start_url=https://x\nsso_region=b", /differ in sso_region/],
  ])("are refused for %s", async (_, text, words) => {
    const { fake, open } = setup(text);
    const fault: unknown = await open().get().catch((error: unknown) => error);
    expect(fault).toMatchObject({ name: "CredentialError", isTransient: false });
    expect(String(fault)).toMatch(words);
    expect(String(fault)).not.toContain("hunter2");
    expect(fake.seen).toEqual([]);
  });
});

describe("credential_process", () => {
  const text = "[profile p]\ncredential_process=/opt/login --as hunter2";

  it("runs when allowed, with and without an end", async () => {
    const { machine, open, clock } = setup(text);
    machine.output = JSON.stringify({ Version: 1, AccessKeyId: "AKIAP", SecretAccessKey: "s" });
    expect(await open({ allowCredentialProcess: true }).get()).toMatchObject({ accessKeyId: "AKIAP", expiresAtMs: undefined });
    machine.output = JSON.stringify({ Version: 1, AccessKeyId: "ASIAP", SecretAccessKey: "s", SessionToken: "t", Expiration: new Date(clock.now() + minuteMs).toISOString(), AccountId: "123456789012" });
    expect(await open({ allowCredentialProcess: true }).get()).toMatchObject({ accessKeyId: "ASIAP", expiresAtMs: clock.now() + minuteMs, accountId: "123456789012" });
    expect(machine.ran).toEqual(["/opt/login --as hunter2", "/opt/login --as hunter2"]);
  });

  it.each([
    ["it fails", Object.assign(new Error("Command failed: /opt/login --as hunter2"), { code: "EACCES" }), /failed \(EACCES\)/],
    ["it prints no JSON", "hunter2", /is not JSON/],
    ["it prints another version", '{"Version":2,"AccessKeyId":"A","SecretAccessKey":"hunter2"}', /not of Version 1/],
    ["it prints no key", '{"Version":1,"SecretAccessKey":"hunter2"}', /has no AccessKeyId/],
    ["its keys have ended", '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"hunter2","Expiration":"2025-01-01T00:00:00Z"}', /has expired/],
  ])("is told of without its words when %s", async (_, output, words) => {
    const { machine, open } = setup(text);
    machine.output = output;
    const fault: unknown = await open({ allowCredentialProcess: true }).get().catch((error: unknown) => error);
    expect(String(fault)).toMatch(words);
    expect(String(fault)).not.toContain("hunter2");
  });
});

describe("SSO", () => {
  const session = "[profile p]\nsso_session=own\nsso_account_id=123456789012\nsso_role_name=Dev\n[sso-session own]\nsso_region=eu-central-1\nsso_start_url=https://own.awsapps.com/start\n";
  const legacy = "[profile p]\nsso_start_url=https://own.awsapps.com/start\nsso_region=eu-central-1\nsso_account_id=123456789012\nsso_role_name=Dev\n";
  const cache = (id: string) => `/home/gateway/.aws/sso/cache/${createHash("sha1").update(id).digest("hex")}.json`;

  function signedIn(text: string, lifeMs: number, more: object = {}) {
    const made = setup(text);
    const { clock, fake, machine } = made;
    fake.sso.accessTokens.set("access", clock.now() + lifeMs);
    fake.sso.grants.add("123456789012/Dev");
    fake.sso.refreshTokens.set("refresh", { clientId: "c", clientSecret: "hunter2" });
    const token = { accessToken: "access", expiresAt: new Date(clock.now() + lifeMs).toISOString(), ...more };
    machine.write(cache(text === legacy ? "https://own.awsapps.com/start" : "own"), JSON.stringify(token));
    return made;
  }
  const renewable = { clientId: "c", clientSecret: "hunter2", refreshToken: "refresh" };

  it("exchanges the cached token of a session, and of a profile of the older form", async () => {
    const { open, clock } = signedIn(session, 30 * minuteMs);
    expect(await open().get()).toMatchObject({ accountId: "123456789012", expiresAtMs: clock.now() + 3_600_000 });
    expect(await signedIn(legacy, 30 * minuteMs).from()).toBe("123456789012/Dev");
  });

  it("renews a token near its end, keeps the new one, and uses its refresh token the next time", async () => {
    const { open, fake, clock } = signedIn(session, 4 * minuteMs, renewable);
    const source = open();
    const first = await source.get();
    expect(fake.seen.map((line) => line.split("?")[0])).toEqual(["POST oidc.eu-central-1.amazonaws.com/token", "GET portal.sso.eu-central-1.amazonaws.com/federation/credentials"]);
    source.refused(first);
    await source.get();
    expect(fake.seen.filter((line) => line.startsWith("POST"))).toHaveLength(1);
    clock.advance(2 * 3_600_000);
    await source.get();
    expect(fake.seen.filter((line) => line.startsWith("POST"))).toHaveLength(2);
  });

  it("prefers a cache file that a new login wrote", async () => {
    const { open, fake, machine, clock } = signedIn(session, 4 * minuteMs, renewable);
    const source = open();
    const first = await source.get();
    fake.sso.accessTokens.clear();
    fake.sso.accessTokens.set("again", clock.now() + 3_600_000);
    machine.write(cache("own"), JSON.stringify({ accessToken: "again", expiresAt: new Date(clock.now() + 3_600_000).toISOString() }));
    source.refused(first);
    await source.get();
    expect(fake.seen.filter((line) => line.startsWith("POST"))).toHaveLength(1);
  });

  it("uses up a token that cannot be renewed while it lives, then says what to do", async () => {
    const { open, fake, clock } = signedIn(session, 4 * minuteMs, renewable);
    fake.failing.add("oidc.eu-central-1.amazonaws.com");
    await open().get();
    clock.advance(5 * minuteMs);
    await expect(open().get()).rejects.toMatchObject({ isTransient: true, message: expect.stringContaining("did not renew the login: 503") });
    fake.failing.clear();
    fake.sso.refreshTokens.clear();
    await expect(open().get()).rejects.toMatchObject({ isTransient: false, message: expect.stringMatching(/400: invalid_grant: Invalid refresh token provided: run "aws sso login --profile p"$/) });
  });

  it.each([
    ["is not there", (made: ReturnType<typeof setup>) => made.machine.write(cache("own"), undefined), /there is no login to IAM Identity Center in ~\/\.aws\/sso\/cache\/[0-9a-f]{40}\.json: run "aws sso login/],
    ["is no JSON", (made: ReturnType<typeof setup>) => made.machine.write(cache("own"), "hunter2"), /is not JSON/],
    ["has expired", (made: ReturnType<typeof setup>) => made.clock.advance(31 * minuteMs), /has expired: run "aws sso login --profile p"/],
    ["was ended elsewhere", (made: ReturnType<typeof setup>) => made.fake.sso.accessTokens.clear(), /does not take the login any more: run/],
    ["may not have the role", (made: ReturnType<typeof setup>) => made.fake.sso.grants.clear(), /answered 403 for the role Dev of account 123456789012: com\.amazonaws\.switchboard\.portal#ForbiddenException: No access/],
  ])("says so when the login %s", async (_, change, words) => {
    const made = signedIn(session, 30 * minuteMs);
    change(made);
    const fault: unknown = await made.open().get().catch((error: unknown) => error);
    expect(String(fault)).toMatch(words);
    expect(String(fault)).not.toContain("hunter2");
  });

  it("does not try to renew with a registration that has ended", async () => {
    const { open, fake } = signedIn(session, 4 * minuteMs, { ...renewable, registrationExpiresAt: "2025-01-01T00:00:00Z" });
    await open().get();
    expect(fake.seen.filter((line) => line.startsWith("POST"))).toEqual([]);
  });
});
