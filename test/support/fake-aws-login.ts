/**
 * AWS's login services in memory, as strict as the real ones about what arrives: STS (signatures checked by an independent
 * verifier), IAM Identity Center's portal and sign-in, the container agent, instance metadata version 2. Wordings and status codes
 * are AWS's, from its API references (STS, PortalAPIReference, OIDCAPIReference, EC2 user guide), checked 2026-11.
 */
import type { CredentialRuntime, LoginReply, LoginRequest } from "../../src/credentials/runtime.ts";
import type { ManualClock } from "../../src/kernel/clock.ts";
import { verifyAwsSignature } from "./aws-signature-verifier.ts";

/** A role and who may assume it. */
export interface FakeRole {
  /** Access key ids whose owners are trusted; `web` for identity tokens. */
  readonly trusts: readonly string[];
  readonly externalId?: string;
}

export interface FakeAwsLogin {
  /** For a runtime. */
  request(request: LoginRequest): Promise<LoginReply>;
  /** Every request that arrived: `POST sts.eu-west-1.amazonaws.com AssumeRole`, `GET 169.254.169.254/latest/…`. */
  readonly seen: string[];
  /** Keys that exist: id → secret and token. What the services give out is added. */
  readonly keys: Map<string, { readonly secret: string; readonly sessionToken?: string; readonly from?: string }>;
  readonly roles: Map<string, FakeRole>;
  /** Identity tokens → their end. */
  readonly webTokens: Map<string, number>;
  readonly sso: {
    readonly region: string;
    /** Access tokens → their end. */
    readonly accessTokens: Map<string, number>;
    /** Refresh tokens → the client they belong to. A used one is gone. */
    readonly refreshTokens: Map<string, { readonly clientId: string; readonly clientSecret: string }>;
    /** `account/role`. */
    readonly grants: Set<string>;
  };
  /** URL → the `authorization` it wants. */
  readonly agents: Map<string, string | undefined>;
  /** The instance's role; undefined: this machine is no instance. An empty one: an instance without a role. */
  instanceRole: string | undefined;
  /** What the instance's role has instead of credentials, such as `AssumeRoleUnauthorizedAccess`. */
  instanceFault: string | undefined;
  /** Life of what is given out. */
  lifeMs: number;
  /** Hosts that answer 503. */
  readonly failing: Set<string>;
  /** Hosts that do not answer. */
  readonly unreachable: Set<string>;
  /** While set, replies wait for it. */
  gate: Promise<void> | undefined;
}

interface Arrived extends LoginRequest {
  readonly url: URL;
  header(name: string): string | undefined;
}

export function createFakeAwsLogin(clock: ManualClock): FakeAwsLogin {
  let issued = 0;
  const metadataTokens = new Map<string, number>();

  const issue = (from: string) => {
    issued++;
    const id = `ASIA${String(issued).padStart(16, "0")}`;
    const key = { secret: `secret-of-${id}`, sessionToken: `token/of+${id}==`, from };
    fake.keys.set(id, key);
    return { id, ...key, expiresAtMs: clock.now() + fake.lifeMs };
  };

  const sts = (request: Arrived, region: string): LoginReply => {
    if (request.method !== "POST" || request.path !== "/") return stsError(404, "UnknownOperationException", "no such path");
    if (!request.header("content-type")?.startsWith("application/x-www-form-urlencoded")) return stsError(400, "MissingAction", "Missing Action");
    const form = new URLSearchParams(request.body?.toString() ?? "");
    const action = form.get("Action");
    const wanted: Record<string, readonly string[]> = {
      AssumeRole: ["Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId"],
      AssumeRoleWithWebIdentity: ["Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "WebIdentityToken"],
    };
    fake.seen[fake.seen.length - 1] = `POST ${request.url.host} ${action}`;
    const names = wanted[action ?? ""];
    if (names === undefined || form.get("Version") !== "2011-06-15") return stsError(400, "InvalidAction", `Could not find operation ${action} for version ${form.get("Version")}`);
    if ([...form.keys()].some((name) => !names.includes(name) || form.getAll(name).length !== 1)) return stsError(400, "ValidationError", "a field is unknown or doubled");
    const seconds = Number(form.get("DurationSeconds") ?? 3_600);
    if (!(seconds >= 900 && seconds <= 43_200)) return stsError(400, "ValidationError", "1 validation error detected: DurationSeconds");
    if (!/^[\w+=,.@-]{2,64}$/.test(form.get("RoleSessionName") ?? "")) return stsError(400, "ValidationError", "1 validation error detected: RoleSessionName");
    const arn = form.get("RoleArn") ?? "";
    const role = fake.roles.get(arn);
    if (action === "AssumeRoleWithWebIdentity") {
      const end = fake.webTokens.get(form.get("WebIdentityToken") ?? "");
      if (end === undefined) return stsError(400, "InvalidIdentityToken", "The web identity token provided could not be validated. Get a new one.");
      if (end <= clock.now()) return stsError(400, "ExpiredTokenException", `Token expired: current date/time ${clock.now()} must be before the expiration date/time ${end}`);
      if (role?.trusts.includes("web") !== true) return stsError(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
      return stsReply(action, arn, form.get("RoleSessionName")!, issue(arn));
    }
    const fault = verifyAwsSignature(
      { method: request.method, target: request.path, headers: [...request.headers, "Host", request.url.host], body: request.body ?? Buffer.alloc(0) },
      { region, service: "sts", nowMs: clock.now(), keyOf: (id) => fake.keys.get(id) },
    );
    if (fault !== undefined) return stsError(403, fault.code, fault.message);
    const caller = /Credential=([^/]+)/.exec(request.header("authorization") ?? "")?.[1] ?? "";
    const isTrusted = role !== undefined && (role.trusts.includes(caller) || role.trusts.includes(fake.keys.get(caller)?.from ?? "nobody")) && (role.externalId === undefined || form.get("ExternalId") === role.externalId);
    if (!isTrusted) return stsError(403, "AccessDenied", `User: arn:aws:iam::111111111111:user/${caller} is not authorized to perform: sts:AssumeRole on resource: ${arn}`);
    return stsReply(action!, arn, form.get("RoleSessionName")!, issue(arn));
  };

  const portal = (request: Arrived): LoginReply => {
    if (request.method !== "GET" || request.url.pathname !== "/federation/credentials") return json(404, { message: "Not Found" });
    const end = fake.sso.accessTokens.get(request.header("x-amz-sso_bearer_token") ?? "");
    if (end === undefined || end <= clock.now()) return json(401, { message: "Session token not found or invalid", __type: "com.amazonaws.switchboard.portal#UnauthorizedException" });
    const grant = `${request.url.searchParams.get("account_id")}/${request.url.searchParams.get("role_name")}`;
    if (!fake.sso.grants.has(grant)) return json(403, { message: "No access", __type: "com.amazonaws.switchboard.portal#ForbiddenException" });
    const key = issue(grant);
    return json(200, { roleCredentials: { accessKeyId: key.id, secretAccessKey: key.secret, sessionToken: key.sessionToken, expiration: key.expiresAtMs } });
  };

  const signIn = (request: Arrived): LoginReply => {
    if (request.method !== "POST" || request.path !== "/token" || request.header("content-type") !== "application/json") return json(400, { error: "invalid_request" });
    const asked = JSON.parse(request.body?.toString() ?? "{}") as Record<string, string>;
    if (Object.keys(asked).sort().join() !== "clientId,clientSecret,grantType,refreshToken" || asked["grantType"] !== "refresh_token") return json(400, { error: "invalid_request" });
    const client = fake.sso.refreshTokens.get(asked["refreshToken"]!);
    if (client === undefined) return json(400, { error: "invalid_grant", error_description: "Invalid refresh token provided" });
    if (client.clientId !== asked["clientId"] || client.clientSecret !== asked["clientSecret"]) return json(401, { error: "invalid_client" });
    fake.sso.refreshTokens.delete(asked["refreshToken"]!);
    issued++;
    fake.sso.refreshTokens.set(`refresh-${issued}`, client);
    fake.sso.accessTokens.set(`access-${issued}`, clock.now() + fake.lifeMs);
    return json(200, { accessToken: `access-${issued}`, expiresIn: fake.lifeMs / 1_000, refreshToken: `refresh-${issued}`, tokenType: "Bearer" });
  };

  const agent = (request: Arrived): LoginReply => {
    const url = request.url.href;
    if (request.method !== "GET" || !fake.agents.has(url)) return json(404, { code: "NoIdInRequest", message: "CredentialsV2Request: No Credential ID in the request" });
    if (request.header("authorization") !== fake.agents.get(url)) return json(400, { code: "AccessDeniedException", message: "Unable to validate the token" });
    return json(200, metadataKeys(issue("container")));
  };

  const metadata = (request: Arrived): LoginReply => {
    const base = "/latest/meta-data/iam/security-credentials/";
    if (request.header("x-forwarded-for") !== undefined) return plain(403, "");
    if (request.method === "PUT" && request.path === "/latest/api/token") {
      const seconds = Number(request.header("x-aws-ec2-metadata-token-ttl-seconds"));
      if (!(seconds >= 1 && seconds <= 21_600)) return plain(400, "");
      issued++;
      metadataTokens.set(`metadata-${issued}`, clock.now() + seconds * 1_000);
      return plain(200, `metadata-${issued}`);
    }
    if (request.method !== "GET" || !((metadataTokens.get(request.header("x-aws-ec2-metadata-token") ?? "") ?? 0) > clock.now())) return plain(401, "");
    if (fake.instanceRole === "" || !request.path.startsWith(base)) return plain(404, "");
    if (request.path === base) return plain(200, fake.instanceRole!);
    if (fake.instanceFault !== undefined) return json(200, { Code: fake.instanceFault, Message: "EC2 cannot assume the role" });
    return request.path === base + fake.instanceRole! ? json(200, { Code: "Success", Type: "AWS-HMAC", ...metadataKeys(issue("instance")) }) : plain(404, "");
  };

  const answer = (request: Arrived): LoginReply => {
    const { hostname, origin } = request.url;
    const region = /^sts\.([a-z0-9-]+)\.amazonaws\.com$/.exec(hostname)?.[1];
    if (request.headers.some((name, index) => index % 2 === 0 && name.toLowerCase() === "host")) throw new Error("the dialer sets the host header");
    if (fake.failing.has(hostname)) return plain(503, "busy");
    if (region !== undefined && origin === `https://${hostname}`) return sts(request, region);
    if (origin === "https://sts.amazonaws.com") return sts(request, "us-east-1");
    if (origin === `https://portal.sso.${fake.sso.region}.amazonaws.com`) return portal(request);
    if (origin === `https://oidc.${fake.sso.region}.amazonaws.com`) return signIn(request);
    if (origin === "http://169.254.169.254" && fake.instanceRole !== undefined) return metadata(request);
    if ([...fake.agents.keys()].some((url) => new URL(url).origin === origin)) return agent(request);
    throw Object.assign(new Error(`connect ${hostname}`), { code: "EHOSTUNREACH" });
  };

  const fake: FakeAwsLogin = {
    async request(request) {
      const url = new URL(request.path, request.origin);
      fake.seen.push(`${request.method} ${url.host}${request.path}`);
      const header = (name: string): string | undefined => {
        const at = request.headers.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === name);
        return at === -1 ? undefined : request.headers[at + 1];
      };
      if (fake.gate !== undefined) await fake.gate;
      if (fake.unreachable.has(url.hostname)) throw Object.assign(new Error("connect"), { code: "ETIMEDOUT" });
      return answer({ ...request, url, header });
    },
    seen: [],
    keys: new Map(),
    roles: new Map(),
    webTokens: new Map(),
    sso: { region: "eu-central-1", accessTokens: new Map(), refreshTokens: new Map(), grants: new Set() },
    agents: new Map(),
    instanceRole: undefined,
    instanceFault: undefined,
    lifeMs: 3_600_000,
    failing: new Set(),
    unreachable: new Set(),
    gate: undefined,
  };
  return fake;
}

interface IssuedKey {
  readonly id: string;
  readonly secret: string;
  readonly sessionToken: string;
  readonly expiresAtMs: number;
}

const isoSeconds = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

function metadataKeys(key: IssuedKey): Record<string, string> {
  return { AccessKeyId: key.id, SecretAccessKey: key.secret, Token: key.sessionToken, Expiration: isoSeconds(key.expiresAtMs) };
}

function stsReply(action: string, arn: string, session: string, key: IssuedKey): LoginReply {
  const [, account = "", role = ""] = /^arn:aws:iam::(\d+):role\/(.*)$/.exec(arn) ?? [];
  return xml(
    200,
    `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n  <${action}Result>\n    <AssumedRoleUser><AssumedRoleId>AROA:${session}</AssumedRoleId><Arn>arn:aws:sts::${account}:assumed-role/${role}/${session}</Arn></AssumedRoleUser>\n    <Credentials>\n      <AccessKeyId>${key.id}</AccessKeyId>\n      <SecretAccessKey>${escapeXml(key.secret)}</SecretAccessKey>\n      <SessionToken>${escapeXml(key.sessionToken)}</SessionToken>\n      <Expiration>${isoSeconds(key.expiresAtMs)}</Expiration>\n    </Credentials>\n  </${action}Result>\n  <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\n</${action}Response>`,
  );
}

function stsError(status: number, code: string, message: string): LoginReply {
  return xml(status, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n  <Error><Type>Sender</Type><Code>${code}</Code><Message>${escapeXml(message)}</Message></Error>\n  <RequestId>r-1</RequestId>\n</ErrorResponse>`);
}

/** More than XML asks for, so that decoding is seen to work. */
function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("'", "&apos;").replaceAll("+", "&#43;").replaceAll("=", "&#x3D;");
}

const xml = (status: number, text: string): LoginReply => ({ status, headers: ["Content-Type", "text/xml"], body: Buffer.from(text) });
const json = (status: number, value: unknown): LoginReply => ({ status, headers: ["Content-Type", "application/json"], body: Buffer.from(JSON.stringify(value)) });
const plain = (status: number, text: string): LoginReply => ({ status, headers: ["Content-Type", "text/plain"], body: Buffer.from(text) });

/** A machine's files and environment in memory, with a fake's services around it. */
export interface FakeMachine {
  readonly runtime: CredentialRuntime;
  readonly env: Record<string, string>;
  /** Writes a file; each write has a later time of change. `undefined` removes it. */
  write(path: string, text: string | undefined): void;
  /** Commands that ran. */
  readonly ran: string[];
  /** What the next command prints, or throws. */
  output: string | Error;
}

export function createFakeMachine(clock: ManualClock, fake: FakeAwsLogin): FakeMachine {
  const files = new Map<string, { text: string; modifiedAtMs: number }>();
  const env: Record<string, string> = {};
  let writes = 0;
  const machine: FakeMachine = {
    env,
    ran: [],
    output: "",
    write(path, text) {
      writes++;
      if (text === undefined) files.delete(path);
      else files.set(path, { text, modifiedAtMs: clock.now() + writes });
    },
    runtime: {
      clock,
      env,
      homeFolder: "/home/gateway",
      readFile(path) {
        const file = files.get(path);
        if (file === undefined) return Promise.reject(Object.assign(new Error(`no such file ${path}`), { code: "ENOENT" }));
        return file.text === "denied" ? Promise.reject(Object.assign(new Error("denied"), { code: "EACCES" })) : Promise.resolve(file.text);
      },
      modifiedAtMs: (path) => Promise.resolve(files.get(path)?.modifiedAtMs),
      request: (request) => fake.request(request),
      run(command) {
        machine.ran.push(command);
        return machine.output instanceof Error ? Promise.reject(machine.output) : Promise.resolve(machine.output);
      },
    },
  };
  return machine;
}
