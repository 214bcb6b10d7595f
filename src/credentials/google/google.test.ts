// Guarantee: each kind of Google login gives a token from a strict fake of Google's services, and from the same file Google's own
// library gets the same kind of token there; secrets go to Google's hosts only, and a login that fails says so without them.
import http from "node:http";
import https from "node:https";
import { Compute, gaxios, GoogleAuth } from "google-auth-library";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { manualClock, type ManualClock } from "../../kernel/clock.ts";
import { FakeGoogleLogin, type LoginAnswer } from "../../../test/support/fake-google-login.ts";
import { CredentialError, type CredentialRuntime, type CredentialSource } from "../runtime.ts";
import { createGoogleCredentials, type GoogleToken, type GoogleCredentialOptions } from "./index.ts";

const scopes = ["https://www.googleapis.com/auth/cloud-platform"];
const startMs = Date.UTC(2026, 10, 23, 12, 0, 0);

let clock: ManualClock;
let fake: FakeGoogleLogin;
let files: Map<string, { text: string; modifiedAtMs: number }>;
let env: Record<string, string | undefined>;

/** A transporter of the library's that was missed must fail here, not on somebody's network. */
function stayOnLoopback(): void {
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]) vi.stubEnv(name, "");
  for (const module of [http, https]) {
    const request = module.request.bind(module) as (...given: unknown[]) => http.ClientRequest;
    vi.spyOn(module, "request").mockImplementation(((target: string | URL | http.RequestOptions, ...rest: unknown[]) => {
      const host = typeof target === "string" ? new URL(target).hostname : (target.hostname ?? (target as http.RequestOptions).host);
      if (host !== "127.0.0.1") throw new Error(`a test went to the network: ${String(host)}`);
      return request(target, ...rest);
    }) as typeof module.request);
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: startMs });
  clock = manualClock(startMs);
  fake = new FakeGoogleLogin({ now: () => clock.now() });
  files = new Map();
  env = {};
  stayOnLoopback();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

function runtime(): CredentialRuntime {
  return {
    clock,
    env,
    homeFolder: "/home/dev",
    async readFile(path) {
      const file = files.get(path);
      if (file === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
      return file.text;
    },
    modifiedAtMs: async (path) => files.get(path)?.modifiedAtMs,
    async request({ method, origin, path, headers, body }) {
      const named: Record<string, string> = {};
      for (let index = 0; index < headers.length; index += 2) named[headers[index]!.toLowerCase()] = headers[index + 1]!;
      const answer = fake.handle({ method, origin, path, headers: named, body: body?.toString() ?? "" });
      return { status: answer.status, headers: Object.entries(answer.headers).flat(), body: Buffer.from(answer.body) };
    },
  };
}

function create(options: Partial<GoogleCredentialOptions> = {}): CredentialSource<GoogleToken> {
  return createGoogleCredentials({ scopes, ...options }, runtime());
}

function write(path: string, content: unknown): void {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  files.set(path, { text, modifiedAtMs: (files.get(path)?.modifiedAtMs ?? startMs) + 1 });
}

async function faultOf(source: CredentialSource<GoogleToken>): Promise<CredentialError> {
  const fault: unknown = await source.get().then(() => undefined, (thrown: unknown) => thrown);
  expect(fault).toBeInstanceOf(CredentialError);
  return fault as CredentialError;
}

const principalOf = (token: GoogleToken): string | undefined => fake.liveToken(token.token.reveal())?.principal;
const external = (source: object, more: object = {}): object => ({
  type: "external_account", audience: fake.audience, subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  token_url: "https://sts.googleapis.com/v1/token", credential_source: source, ...more,
});

/** A renewal in the background has come to its end. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Name → the file, and who its token stands for. */
const kinds: readonly (readonly [string, () => object, string])[] = [
  ["a service account's key", () => fake.account.file, "gateway@fake-project.iam.gserviceaccount.com"],
  ["a user's refresh token", () => ({ type: "authorized_user", ...fake.user, quota_project_id: "quota-project" }), "user@example.com"],
  ["workload identity by URL", () => external(azure()), "sts:subject-token-1"],
  ["workload identity by URL, speaking for an account", () => external(azure(), { service_account_impersonation_url: fake.impersonationUrl() }), "target@fake-project.iam.gserviceaccount.com"],
  ["an account speaking for another", () => impersonated(fake.account.file), "target@fake-project.iam.gserviceaccount.com"],
  ["a user speaking for an account", () => impersonated({ type: "authorized_user", ...fake.user }), "target@fake-project.iam.gserviceaccount.com"],
];

function azure(): object {
  return { url: "http://127.0.0.1:9/subject?resource=x", headers: { Metadata: "True" }, format: { type: "json", subject_token_field_name: "access_token" } };
}

function impersonated(source: object): object {
  return { type: "impersonated_service_account", service_account_impersonation_url: fake.impersonationUrl(), source_credentials: source, delegates: [] };
}

describe("kinds of login", () => {
  it.each(kinds)("%s gives a token of its principal with the scopes asked for", async (_name, file, principal) => {
    const token = await create({ credentials: JSON.stringify(file()) }).get();
    expect(principalOf(token)).toBe(principal);
    expect(fake.issued.at(-1)).toMatchObject({ token: token.token.reveal(), scopes, expiresAtMs: token.expiresAtMs });
    expect(fake.refusals).toEqual([]);
  });

  it.each(kinds)("%s: Google's own library gets the same token result from the same file", async (_name, file, principal) => {
    const ours = await create({ credentials: JSON.stringify(file()) }).get();
    const ownCalls = fake.calls.splice(0);
    const client = new GoogleAuth().fromJSON(file() as never, offline());
    inMemory(client);
    await client.getAccessToken();
    expect(fake.refusals).toEqual([]);
    expect(principalOf(ours)).toBe(principal);
    expect(fake.issued.at(-1)?.principal).toBe(principal);
    expect(client.credentials.expiry_date).toBe(ours.expiresAtMs);
    const shape = (calls: typeof ownCalls): readonly string[] => calls.map(({ method, origin, path, body }) => `${method} ${origin}${path} ${fieldsOf(body)}`);
    expect(shape(ownCalls)).toEqual(shape(fake.calls));
  });

  it("reads a subject token anew from its file at each login", async () => {
    write("/var/token", "subject-token-1\n");
    const source = create({ credentials: JSON.stringify(external({ file: "/var/token" })) });
    expect(principalOf(await source.get())).toBe("sts:subject-token-1");
    fake.subjectTokens.clear();
    fake.subjectTokens.add("subject-token-2");
    write("/var/token", "subject-token-2\n");
    clock.advance(3_600_000);
    expect(principalOf(await source.get())).toBe("sts:subject-token-2");
  });

  it("asks the metadata server as Google's library does, with the flavor header both ways", async () => {
    await fake.listen();
    try {
      env["GCE_METADATA_HOST"] = new URL(fake.url).host;
      const ours = await create().get();
      expect(principalOf(ours)).toBe("machine@fake-project.iam.gserviceaccount.com");
      expect(ours.projectId).toBe("fake-project");
      const ownCall = fake.calls[0]!;
      vi.stubEnv("GCE_METADATA_HOST", new URL(fake.url).host);
      const oracle = new Compute({ scopes });
      await oracle.getAccessToken();
      expect(fake.calls.at(-1)!.path).toBe(ownCall.path);
      expect(oracle.credentials.expiry_date).toBe(ours.expiresAtMs);
      expect(fake.refusals).toEqual([]);
    } finally {
      await fake.close();
    }
  });

  it("does not take another service for the metadata server", async () => {
    fake.script.push({ status: 200, headers: {}, body: '{"access_token":"x","expires_in":3600}' });
    expect((await faultOf(create())).message).toContain("Metadata-Flavor");
  });
});

const offline = (): object => ({ transporter: new gaxios.Gaxios({ fetchImplementation: fake.fetch as typeof fetch }), scopes });

/** The library makes further clients for itself, with transporters of their own: they get the fake for a network as well. */
function inMemory(client: object): void {
  const { sourceClient, stsCredential, supplierContext } = client as Record<"sourceClient" | "stsCredential" | "supplierContext", object | undefined>;
  for (const part of [client, sourceClient, stsCredential, supplierContext]) if (part !== undefined) Object.assign(part, offline(), { targetScopes: scopes });
}

/** Names of a form's or JSON's members, in order of the alphabet; values differ from one login to the next. */
function fieldsOf(body: string): string {
  const names = body.startsWith("{") ? Object.keys(JSON.parse(body) as object) : [...new URLSearchParams(body).keys()];
  return names.filter((name) => name !== "delegates").toSorted().join(",");
}

it("the library cannot leave this machine even through a client that nobody gave a transporter", async () => {
  const stray = new GoogleAuth().fromJSON({ type: "authorized_user", ...fake.user } as never);
  await expect(stray.getAccessToken()).rejects.toThrow("a test went to the network: oauth2.googleapis.com");
});

describe("search order", () => {
  const wellKnown = "/home/dev/.config/gcloud/application_default_credentials.json";
  const user = (): object => ({ type: "authorized_user", ...fake.user });
  const placed = (): void => {
    write("/etc/explicit.json", fake.account.file);
    write("/etc/named.json", impersonated(fake.account.file));
    write(wellKnown, user());
  };

  it("prefers the configured file, then the named one, then gcloud's, then the machine", async () => {
    placed();
    env["GOOGLE_APPLICATION_CREDENTIALS"] = "/etc/named.json";
    expect(principalOf(await create({ credentials: "/etc/explicit.json" }).get())).toBe(fake.account.clientEmail);
    expect(principalOf(await create().get())).toBe(fake.target);
    delete env["GOOGLE_APPLICATION_CREDENTIALS"];
    expect(principalOf(await create().get())).toBe("user@example.com");
    files.delete(wellKnown);
    expect(principalOf(await create().get())).toBe("machine@fake-project.iam.gserviceaccount.com");
  });

  it("finds gcloud's file in CLOUDSDK_CONFIG, and in APPDATA", async () => {
    write("/sdk/application_default_credentials.json", user());
    env["CLOUDSDK_CONFIG"] = "/sdk";
    expect(principalOf(await create().get())).toBe("user@example.com");
    env = { APPDATA: "/appdata" };
    write("/appdata/gcloud/application_default_credentials.json", fake.account.file);
    expect(principalOf(await create().get())).toBe(fake.account.clientEmail);
  });

  it("does not fall through a named file that is not there", async () => {
    write(wellKnown, user());
    env["GOOGLE_APPLICATION_CREDENTIALS"] = "/etc/missing.json";
    const fault = await faultOf(create());
    expect([fault.message, fault.isTransient]).toEqual(["the Google credential file /etc/missing.json cannot be read: ENOENT", false]);
    expect(fake.calls).toEqual([]);
  });

  it("says where it has looked when there is nothing", async () => {
    fake.script.push(() => {
      throw new Error("connect EHOSTUNREACH");
    });
    expect(await faultOf(create())).toMatchObject({ isTransient: true, message: expect.stringContaining("no Google credentials were found") as string });
    env["METADATA_SERVER_DETECTION"] = "none";
    expect((await faultOf(create())).message).toContain("switched off");
  });

  it("knows the project: of the file, of the environment, of the quota", async () => {
    const projectOf = async (file: object): Promise<unknown> => {
      const { projectId, quotaProject } = await create({ credentials: JSON.stringify(file) }).get();
      return [projectId, quotaProject];
    };
    expect(await projectOf(fake.account.file)).toEqual(["fake-project", undefined]);
    expect(await projectOf({ ...user(), quota_project_id: "quota" })).toEqual(["quota", "quota"]);
    env["GOOGLE_CLOUD_PROJECT"] = "env-project";
    expect(await projectOf({ ...user(), quota_project_id: "quota" })).toEqual(["env-project", "quota"]);
    expect((await create({ credentials: JSON.stringify(user()), quotaProject: "mine" }).get()).quotaProject).toBe("mine");
  });
});

describe("life of a token", () => {
  it("is fetched once for many callers, renewed ahead of its end, and outlives a renewal that fails", async () => {
    const source = create({ credentials: JSON.stringify(fake.account.file) });
    const [first, second] = await Promise.all([source.get(), source.get()]);
    expect(second).toBe(first);
    expect(fake.calls).toHaveLength(1);
    clock.advance(3_400_000);
    fake.script.push({ status: 503, headers: {}, body: "" });
    expect(await source.get()).toBe(first);
    await vi.waitFor(() => expect(fake.calls).toHaveLength(2));
    await settled();
    expect(await source.get()).toBe(first);
    clock.advance(6000);
    await source.get();
    await vi.waitFor(async () => expect(await source.get()).not.toBe(first));
    expect(fake.calls).toHaveLength(3);
  });

  it("comes from a changed key file without a restart, and the old one serves until then", async () => {
    write("/key.json", fake.account.file);
    const source = create({ credentials: "/key.json" });
    const first = await source.get();
    write("/key.json", fake.serviceAccount("second").file);
    expect(await source.get()).toBe(first);
    clock.advance(6000);
    expect(await source.get()).toBe(first);
    await vi.waitFor(async () => expect(principalOf(await source.get())).toBe("second@fake-project.iam.gserviceaccount.com"));
    expect(fake.calls).toHaveLength(2);
  });

  it("survives a key file that is broken while it is being written", async () => {
    write("/key.json", fake.account.file);
    const source = create({ credentials: "/key.json" });
    const first = await source.get();
    write("/key.json", '{"type":"service_acc');
    clock.advance(6000);
    expect(await source.get()).toBe(first);
    await settled();
    write("/key.json", fake.serviceAccount("second").file);
    clock.advance(6000);
    await source.get();
    await vi.waitFor(async () => expect(principalOf(await source.get())).toBe("second@fake-project.iam.gserviceaccount.com"));
  });

  it("is fetched again once it was refused", async () => {
    const source = create({ credentials: JSON.stringify(fake.account.file) });
    const first = await source.get();
    source.refused(first);
    expect(await source.get()).toBe(first);
    clock.advance(31_000);
    source.refused(first);
    expect(await source.get()).not.toBe(first);
  });
});

describe("refusals", () => {
  it.each<[string, object, string]>([
    ["a program", { executable: { command: "/bin/x" } }, "executable"],
    ["an AWS source", { environment_id: "aws1", region_url: "http://169.254.169.254/x" }, "environment_id"],
    ["a certificate", { certificate: { use_default_certificate_config: true } }, "certificate"],
  ])("%s as source of an outside identity is not supported, and nothing is asked", async (_name, source, word) => {
    const fault = await faultOf(create({ credentials: JSON.stringify(external(source)) }));
    expect([fault.message.includes("not supported"), fault.message.includes(word), fault.isTransient]).toEqual([true, true, false]);
    expect(fake.calls).toEqual([]);
  });

  it.each(["gdch_service_account", "external_account_authorized_user", "impersonated_service_account"])("a source of type %s is not supported", async (type) => {
    const file = type === "impersonated_service_account" ? impersonated(impersonated(fake.account.file)) : { type };
    expect((await faultOf(create({ credentials: JSON.stringify(file) }))).message).toContain(`is of type ${type}, which is not supported`);
  });

  it.each<[string, () => object]>([
    ["token_uri", () => ({ ...fake.account.file, token_uri: "https://evil.example/token" })],
    ["token_uri", () => ({ ...fake.account.file, token_uri: "http://oauth2.googleapis.com/token" })],
    ["token_uri", () => ({ ...fake.account.file, token_uri: "https://oauth2.googleapis.com.evil.example/token" })],
    ["token_uri", () => ({ ...fake.account.file, token_uri: "https://user:pw@oauth2.googleapis.com/token" })],
    ["token_url", () => external(azure(), { token_url: "https://sts.evil.example/v1/token" })],
    ["service_account_impersonation_url", () => ({ ...impersonated(fake.account.file), service_account_impersonation_url: "https://evil.example/serviceAccounts/a@b:generateAccessToken" })],
  ])("%s that leads elsewhere gets no secret", async (name, file) => {
    const fault = await faultOf(create({ credentials: JSON.stringify(file()) }));
    expect([fault.message.startsWith(name), fault.isTransient]).toEqual([true, false]);
    expect(fake.calls.filter(({ origin }) => !/^https:\/\/[a-z0-9]+\.googleapis\.com$/.test(origin) && origin !== "http://127.0.0.1:9")).toEqual([]);
  });

  it("lets a test's own origin be trusted", async () => {
    await fake.listen();
    try {
      const file = { ...fake.account.file, token_uri: `${fake.url}/token` };
      expect(principalOf(await create({ credentials: JSON.stringify(file), trustedOrigins: [fake.url] }).get())).toBe(fake.account.clientEmail);
    } finally {
      await fake.close();
    }
  });

  it("a subject token is not fetched over plain HTTP from elsewhere", async () => {
    expect((await faultOf(create({ credentials: JSON.stringify(external({ url: "http://idp.example/token" })) }))).message).toContain("must be https");
  });

  it.each<[string, LoginAnswer | (() => LoginAnswer), boolean]>([
    ["a refusal", { status: 400, headers: {}, body: '{"error":"invalid_grant","error_description":"Invalid JWT Signature."}' }, false],
    ["a limit", { status: 429, headers: {}, body: "" }, true],
    ["a fault", { status: 500, headers: {}, body: "<html>" }, true],
    ["a page", { status: 200, headers: {}, body: "<html>" }, true],
    ["a reply without an end", { status: 200, headers: {}, body: '{"access_token":"x"}' }, true],
    ["a broken connection", () => { throw new Error("socket hang up"); }, true],
  ])("%s of the token endpoint is told as what it is", async (_name, answer, isTransient) => {
    fake.script.push(answer);
    expect((await faultOf(create({ credentials: JSON.stringify(fake.account.file) }))).isTransient).toBe(isTransient);
  });

  it("nothing that fails repeats a secret", async () => {
    const secretFile = { ...fake.account.file, private_key: "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n" };
    expect((await faultOf(create({ credentials: JSON.stringify(secretFile) }))).message).not.toContain("c2VjcmV0");
    fake.script.push({ status: 401, headers: {}, body: '{"error":"invalid_client"}' });
    expect(JSON.stringify(await faultOf(create({ credentials: JSON.stringify({ type: "authorized_user", ...fake.user }) })))).not.toContain(fake.user.refresh_token);
    expect(String(await create({ credentials: JSON.stringify(fake.account.file) }).get().then(({ token }) => token))).toBe("[secret]");
  });

  it("any JSON for a file ends in a typed error", async () => {
    await fc.assert(
      fc.asyncProperty(fc.record({ type: fc.constantFrom("service_account", "authorized_user", "external_account", "impersonated_service_account", "x") }), fc.dictionary(fc.constantFrom("client_email", "private_key", "credential_source", "audience", "source_credentials", "token_url"), fc.jsonValue()), async (head, rest) => {
        await faultOf(create({ credentials: JSON.stringify({ ...rest, ...head }) }));
      }),
      { numRuns: 100 },
    );
    expect(fake.calls).toEqual([]);
  });
});
