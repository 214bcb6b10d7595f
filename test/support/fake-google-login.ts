/**
 * Google's login services as a strict fake: token endpoint, STS, IAM credentials and a metadata server. Each checks what the real
 * one checks: signature and claims of an assertion, grant types, client secrets, scopes, life times. It answers in memory (for
 * `CredentialRuntime.request` and for gaxios's `fetchImplementation`) or over loopback. Shares no code with src/.
 *
 * Protocols as cited in src/credentials/google/flows.ts.
 */
import { createPublicKey, generateKeyPairSync, randomBytes, verify, type KeyObject } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** One request as a login service sees it. */
export interface LoginCall {
  readonly method: string;
  /** `https://oauth2.googleapis.com`, or the fake's own when it came over loopback. */
  readonly origin: string;
  /** Path and query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface LoginAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A token that the fake gave out. */
export interface IssuedToken {
  readonly token: string;
  /** Account, user or `sts:<subject token>` that it stands for. */
  readonly principal: string;
  readonly scopes: readonly string[];
  readonly expiresAtMs: number;
}

export interface FakeGoogleLoginOptions {
  /** Wall time, milliseconds; default the system's. */
  readonly now?: () => number;
  /** Life of a token, seconds; default 3599, as Google's are. */
  readonly lifetimeSeconds?: number;
  /** Service account of the machine behind the metadata server; default one. */
  readonly machineAccount?: string;
  readonly project?: string;
}

/** The service account that every fake knows, with its file. */
export interface FakeServiceAccount {
  readonly clientEmail: string;
  /** The JSON key file that Google's console would download. */
  readonly file: Readonly<Record<string, string>>;
}

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform";

/** Key generation costs a tenth of a second and more; one pair per process and role does. */
const keyPairs = new Map<string, { readonly publicKey: KeyObject; readonly privatePem: string }>();

function keyPair(role: string): { readonly publicKey: KeyObject; readonly privatePem: string } {
  const known = keyPairs.get(role);
  if (known !== undefined) return known;
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const made = { publicKey: createPublicKey(publicKey.export({ type: "spki", format: "pem" })), privatePem: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
  keyPairs.set(role, made);
  return made;
}

class Refused extends Error {
  readonly answer: LoginAnswer;
  constructor(status: number, json: object) {
    super(JSON.stringify(json));
    this.answer = answerOf(status, json);
  }
}

function answerOf(status: number, json: object, headers: Readonly<Record<string, string>> = {}): LoginAnswer {
  return { status, headers: { "content-type": "application/json; charset=utf-8", ...headers }, body: JSON.stringify(json) };
}

function oauthError(error: string, description: string, status = 400): Refused {
  return new Refused(status, { error, error_description: description });
}

function demand(condition: boolean, error: string, description: string): asserts condition {
  if (!condition) throw oauthError(error, description);
}

export class FakeGoogleLogin {
  /** Every call, in order. */
  readonly calls: LoginCall[] = [];
  readonly issued: IssuedToken[] = [];
  /** What the fake refused by its own checks. */
  readonly refusals: string[] = [];
  url = "";
  /** Answers that come first, one per call; a function may throw for a connection that breaks. */
  readonly script: (LoginAnswer | (() => LoginAnswer))[] = [];
  /** Subject tokens of outside identities that STS takes. */
  readonly subjectTokens = new Set<string>(["subject-token-1"]);
  readonly audience = "//iam.googleapis.com/projects/1234567890/locations/global/workloadIdentityPools/pool/providers/provider";
  readonly user = { client_id: "764086051850-fake.apps.googleusercontent.com", client_secret: "fake-client-secret", refresh_token: "1//fake-refresh-token" };
  readonly account: FakeServiceAccount;
  readonly target = "target@fake-project.iam.gserviceaccount.com";
  readonly #options: FakeGoogleLoginOptions;
  #server: Server | undefined;

  constructor(options: FakeGoogleLoginOptions = {}) {
    this.#options = options;
    this.account = this.serviceAccount("gateway");
  }

  /** A service account of the fake's project. */
  serviceAccount(name: string): FakeServiceAccount {
    const clientEmail = `${name}@fake-project.iam.gserviceaccount.com`;
    const file = {
      type: "service_account", project_id: "fake-project", private_key_id: `key-of-${name}`, private_key: keyPair(name).privatePem,
      client_email: clientEmail, client_id: "100000000000000000001", auth_uri: "https://accounts.google.com/o/oauth2/auth",
      token_uri: "https://oauth2.googleapis.com/token", universe_domain: "googleapis.com",
    };
    return { clientEmail, file };
  }

  /** URL of `generateAccessToken` for an account. */
  impersonationUrl(account = this.target): string {
    return `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${account}:generateAccessToken`;
  }

  /** Listens on loopback as well; then `url` is set, and token endpoints may be `url` + their path. */
  async listen(): Promise<this> {
    this.#server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
        try {
          const answer = this.handle({ method: request.method ?? "", origin: this.url, path: request.url ?? "", headers, body: Buffer.concat(pieces).toString() });
          response.writeHead(answer.status, answer.headers).end(answer.body);
        } catch {
          response.destroy();
        }
      });
    });
    await new Promise<void>((resolve) => this.#server!.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => void server.close(() => resolve()));
  }

  /** For gaxios: `new Gaxios({ fetchImplementation: fake.fetch })`. */
  readonly fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    const { status, headers, body } = this.handle({
      method: request.method, origin: url.origin, path: `${url.pathname}${url.search}`, headers: Object.fromEntries(request.headers), body: await request.text(),
    });
    return new Response(body, { status, headers });
  };

  /** The live token with this text, if it is one. */
  liveToken(token: string): IssuedToken | undefined {
    return this.issued.find((issued) => issued.token === token && issued.expiresAtMs > this.#now());
  }

  /** Answers one request. @throws what the script throws */
  handle(call: LoginCall): LoginAnswer {
    this.calls.push(call);
    const scripted = this.script.shift();
    if (scripted !== undefined) return typeof scripted === "function" ? scripted() : scripted;
    try {
      return this.#route(call);
    } catch (fault) {
      if (!(fault instanceof Refused)) throw fault;
      this.refusals.push(fault.message);
      return fault.answer;
    }
  }

  #route(call: LoginCall): LoginAnswer {
    const path = call.path.split("?", 1)[0]!;
    const isAt = (origin: string): boolean => call.origin === origin || (this.url !== "" && call.origin === this.url);
    if (path.startsWith("/computeMetadata/v1/")) return this.#metadata(call, path.slice("/computeMetadata/v1".length));
    if (path === "/subject" && call.method === "GET") return this.#subject(call);
    if (call.method !== "POST") throw new Refused(404, { error: "not found" });
    if (path === "/token" && isAt("https://oauth2.googleapis.com")) return this.#token(call);
    if (path === "/v1/token" && isAt("https://sts.googleapis.com")) return this.#sts(call);
    const account = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):generateAccessToken$/.exec(decodeURIComponent(path))?.[1];
    if (account !== undefined && isAt("https://iamcredentials.googleapis.com")) return this.#impersonate(call, account);
    throw new Refused(404, { error: { code: 404, message: `no such service: ${call.origin}${path}`, status: "NOT_FOUND" } });
  }

  #token(call: LoginCall): LoginAnswer {
    const form = formOf(call);
    const grant = form.get("grant_type");
    if (grant === "refresh_token") {
      for (const name of ["client_id", "client_secret", "refresh_token"] as const) demand(form.get(name) === this.user[name], "invalid_grant", `Bad ${name}`);
      return this.#grant("user@example.com", [cloudPlatform]);
    }
    demand(grant === "urn:ietf:params:oauth:grant-type:jwt-bearer", "unsupported_grant_type", `Invalid grant_type: ${String(grant)}`);
    const { iss, scope } = this.#assertion(form.get("assertion") ?? "", call);
    return this.#grant(iss, scope.split(" "));
  }

  #assertion(assertion: string, call: LoginCall): { readonly iss: string; readonly scope: string } {
    const parts = assertion.split(".");
    demand(parts.length === 3, "invalid_grant", "Invalid JWT: not three parts");
    const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url").toString()) as Record<string, unknown>);
    demand(header!["alg"] === "RS256", "invalid_grant", "Invalid JWT: alg");
    const { iss, scope, aud, iat, exp } = claims!;
    demand(typeof iss === "string" && iss.endsWith("@fake-project.iam.gserviceaccount.com"), "invalid_grant", "Invalid grant: account not found");
    const name = iss.split("@", 1)[0]!;
    if (header!["kid"] !== undefined) demand(header!["kid"] === `key-of-${name}`, "invalid_grant", "Invalid JWT: unknown kid");
    const isSigned = keyPairs.has(name) && verify("RSA-SHA256", Buffer.from(parts.slice(0, 2).join(".")), keyPair(name).publicKey, Buffer.from(parts[2]!, "base64url"));
    demand(isSigned, "invalid_grant", "Invalid JWT Signature.");
    demand(aud === "https://oauth2.googleapis.com/token" || aud === `${call.origin}/token`, "invalid_grant", "Invalid JWT: audience");
    const nowSeconds = this.#now() / 1000;
    demand(typeof iat === "number" && typeof exp === "number" && Number.isInteger(iat) && Number.isInteger(exp), "invalid_grant", "Invalid JWT: iat and exp must be whole seconds");
    demand(iat <= nowSeconds + 1 && iat > nowSeconds - 300, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.");
    demand(exp > nowSeconds && exp - iat <= 3600, "invalid_grant", "Invalid JWT: exp");
    demand(typeof scope === "string" && scope !== "", "invalid_scope", "Empty or missing scope not allowed.");
    const stray = Object.keys(claims!).find((claim) => !["iss", "scope", "aud", "iat", "exp", "sub"].includes(claim));
    demand(stray === undefined, "invalid_grant", `Invalid JWT: claim ${String(stray)}`);
    return { iss, scope };
  }

  #sts(call: LoginCall): LoginAnswer {
    const form = formOf(call);
    demand(form.get("grant_type") === "urn:ietf:params:oauth:grant-type:token-exchange", "unsupported_grant_type", "grant_type");
    demand(form.get("requested_token_type") === "urn:ietf:params:oauth:token-type:access_token", "invalid_request", "requested_token_type");
    demand(form.get("subject_token_type") === "urn:ietf:params:oauth:token-type:jwt", "invalid_request", "subject_token_type");
    demand(form.get("audience") === this.audience, "invalid_target", "The target service indicated by the audience is invalid");
    const subject = form.get("subject_token") ?? "";
    demand(this.subjectTokens.has(subject), "invalid_grant", "The subject token is invalid");
    demand((form.get("scope") ?? "") !== "", "invalid_scope", "scope");
    return this.#grant(`sts:${subject}`, form.get("scope")!.split(" "), { issued_token_type: "urn:ietf:params:oauth:token-type:access_token" });
  }

  #impersonate(call: LoginCall, account: string): LoginAnswer {
    const bearer = this.liveToken(/^Bearer (.+)$/.exec(call.headers["authorization"] ?? "")?.[1] ?? "");
    if (bearer === undefined) throw new Refused(401, { error: { code: 401, message: "Request had invalid authentication credentials.", status: "UNAUTHENTICATED" } });
    const isAllowed = bearer.scopes.includes(cloudPlatform) && account === this.target;
    if (!isAllowed) throw new Refused(403, { error: { code: 403, message: "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).", status: "PERMISSION_DENIED" } });
    const body = JSON.parse(call.body) as Record<string, unknown>;
    const { scope, lifetime, delegates } = body;
    const isWellFormed =
      Array.isArray(scope) && scope.length > 0 && typeof lifetime === "string" && /^\d+s$/.test(lifetime) && Number.parseInt(lifetime, 10) <= 3600 &&
      (delegates === undefined || Array.isArray(delegates)) && Object.keys(body).every((name) => ["scope", "lifetime", "delegates"].includes(name));
    if (!isWellFormed) throw new Refused(400, { error: { code: 400, message: "Request contains an invalid argument.", status: "INVALID_ARGUMENT" } });
    const issued = this.#issue(account, scope as string[], Number.parseInt(lifetime, 10));
    return answerOf(200, { accessToken: issued.token, expireTime: new Date(issued.expiresAtMs).toISOString() });
  }

  #metadata(call: LoginCall, path: string): LoginAnswer {
    if (call.method !== "GET" || call.headers["metadata-flavor"] !== "Google" || "x-forwarded-for" in call.headers) throw new Refused(403, { error: "Missing Metadata-Flavor:Google header." });
    const flavor = { "metadata-flavor": "Google" };
    if (path === "/project/project-id") return { status: 200, headers: { "content-type": "application/text", ...flavor }, body: this.#options.project ?? "fake-project" };
    if (path !== "/instance/service-accounts/default/token") return { status: 404, headers: flavor, body: "Not Found" };
    const scopes = new URLSearchParams(call.path.split("?")[1] ?? "").get("scopes")?.split(",") ?? [cloudPlatform];
    const answer = this.#grant(this.#options.machineAccount ?? "machine@fake-project.iam.gserviceaccount.com", scopes);
    return { ...answer, headers: { ...answer.headers, ...flavor } };
  }

  /** Another cloud's metadata service, which gives a subject token. */
  #subject(call: LoginCall): LoginAnswer {
    if (call.headers["metadata"] !== "True") throw new Refused(400, { error: "invalid_request" });
    return answerOf(200, { access_token: [...this.subjectTokens][0], expires_in: "3599" });
  }

  #grant(principal: string, scopes: readonly string[], more: object = {}): LoginAnswer {
    const lifetimeSeconds = this.#options.lifetimeSeconds ?? 3599;
    const { token } = this.#issue(principal, scopes, lifetimeSeconds);
    return answerOf(200, { access_token: token, expires_in: lifetimeSeconds, token_type: "Bearer", ...more });
  }

  #issue(principal: string, scopes: readonly string[], lifetimeSeconds: number): IssuedToken {
    const issued = { token: `ya29.fake-${randomBytes(18).toString("base64url")}`, principal, scopes, expiresAtMs: this.#now() + lifetimeSeconds * 1000 };
    this.issued.push(issued);
    return issued;
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}

function formOf(call: LoginCall): URLSearchParams {
  demand(/^application\/x-www-form-urlencoded\b/i.test(call.headers["content-type"] ?? ""), "invalid_request", "The request must be a form");
  return new URLSearchParams(call.body);
}
