/**
 * The scene of one test about a cloud: the strict fake of one place with its own bill, a gateway process in front of it, a relay that
 * keeps the client's bytes in front of that. Whatever a test is about, the scene then demands that the place refused nothing (Claude
 * Code heals itself silently), saw no credential of a client's, got every request once with the conversation untouched, and billed
 * what the ledger says, to the nano-dollar for models with a price in `bill-prices.ts`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { expect } from "vitest";
import { billedNanoUsd, pricedModels } from "../support/bill-prices.ts";
import type { BilledLine, JsonObject, RecordedRequest } from "../support/fake-anthropic-types.ts";
import { startFakeAnthropicAws, startFakeBedrock, startFakeMantle } from "../support/fake-bedrock.ts";
import { startFakeFoundry } from "../support/fake-foundry.ts";
import { FakeGoogleLogin } from "../support/fake-google-login.ts";
import type { FakePlace } from "../support/fake-place.ts";
import { startFakeVertex } from "../support/fake-vertex.ts";
import { runClaude, type ClaudeCode, type Run, type RunOptions } from "./clients.ts";
import { startGatewayProcess, type GatewayProcess } from "./gateway-process.ts";
import { ledgerRows, type LedgerLine } from "./ledger.ts";
import { startTee, type SentRequest, type Tee } from "./tee.ts";

export type CloudName = "bedrock" | "vertex" | "foundry" | "mantle" | "anthropic-aws";
export const clouds: readonly CloudName[] = ["bedrock", "vertex", "foundry", "mantle", "anthropic-aws"];

/** The gateway's own logins; nothing but the place they are for may see them. */
const logins = { bedrock: "bedrock-login-of-the-gateway-52c1", aws: "aws-secret-of-the-gateway-8d03", foundry: "foundry-login-of-the-gateway-e9b7", workspace: "workspace-login-of-the-gateway-416a" };
const awsKeyId = "AKIDOFTHEGATEWAY";

/** A developer's own Bedrock API key. */
export const clientsBedrockKey = "bedrock-api-key-of-a-developer-7f21";

/** What differs from scene to scene. */
export interface CloudSceneOptions {
  readonly place: CloudName;
  /** The caller's own login pays, a Google token or {@link clientsBedrockKey}; the gateway has none of its own. */
  readonly isClientPaid?: boolean;
  /** AWS keys in place of an API key. */
  readonly isSigned?: boolean;
  /** YAML lines added to the gateway's configuration. */
  readonly config?: readonly string[];
}

/** What a test expects beyond the ordinary. */
export interface CloudExpectations {
  /** Inference requests that the gateway answers itself. Default 0. */
  readonly heldBack?: number;
  /** Replies to inference requests that are errors by the test's script, which nobody bills. Default 0. */
  readonly scriptedErrors?: number;
  /** Streams that break before the place says what it bills, so that the ledger must say that it guesses. Default 0. */
  readonly cutAnswers?: number;
  /** Client and place speak alike, so that bodies and betas must arrive byte for byte. */
  readonly isUntouched?: boolean;
}

/** Where clients of a scene find what they need. */
export interface CloudParts {
  readonly place: CloudName;
  readonly fake: FakePlace;
  readonly google: FakeGoogleLogin;
  readonly gateway: GatewayProcess;
  readonly tee: Tee;
  readonly folder: string;
  /** Credentials that the place may not see. */
  readonly secrets: string[];
}

/** A scene that plays. */
export class CloudScene {
  readonly place: CloudName;
  readonly fake: FakePlace;
  /** Issues the Google tokens of gateway and clients. */
  readonly google: FakeGoogleLogin;
  readonly gateway: GatewayProcess;
  readonly tee: Tee;
  readonly folder: string;
  readonly #secrets: string[];
  #expectations: CloudExpectations = {};

  constructor({ place, fake, google, gateway, tee, folder, secrets }: CloudParts) {
    this.place = place;
    this.fake = fake;
    this.google = google;
    this.gateway = gateway;
    this.tee = tee;
    this.folder = folder;
    this.#secrets = secrets;
  }

  /** A fresh developer key; from now on it may not reach the place. */
  async key(fields: Record<string, unknown> = {}): Promise<string> {
    const { key } = await this.gateway.admin<{ key: string }>("POST", "/key/generate", fields);
    this.#secrets.push(key);
    return key;
  }

  /** Says what is out of the ordinary in this test. */
  expect(expectations: CloudExpectations): void {
    this.#expectations = expectations;
  }

  /** Runs a client; `env` says where the gateway is. */
  run(client: ClaudeCode, options: Omit<RunOptions, "folder">): Promise<Run> {
    return runClaude(client, { ...options, env: { CLAUDE_CODE_MAX_RETRIES: "3", ...options.env }, folder: this.folder });
  }

  /** Requests with a conversation, as they left the clients. */
  sent(): readonly SentRequest[] {
    return this.tee.requests().filter(({ method }) => method === "POST");
  }

  /** The ledger once it holds as many closed rows as there were attempts. */
  async rows(): Promise<readonly LedgerLine[]> {
    const attempts = this.fake.requests.filter(({ url }) => !isCount(url)).length;
    const end = performance.now() + 5_000;
    for (;;) {
      const rows = await ledgerRows(this.gateway);
      if ((rows.length >= attempts && rows.every(({ state }) => state !== "open")) || performance.now() > end) return rows;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Everything that must hold whatever the test was about. */
  async verify(): Promise<void> {
    const { heldBack = 0, isUntouched = false } = this.#expectations;
    expect(this.fake.violations).toEqual([]);
    expect(this.fake.rejections).toEqual([]);
    expect(this.fake.requests.length, "requests that reached the place").toBe(this.sent().length - heldBack);
    for (const request of this.fake.requests) this.#verifyConversation(request, isUntouched);
    await this.#verifyLedger();
  }

  /** Whatever is done to the envelope, what was said stays what was said. */
  #verifyConversation(request: RecordedRequest, isUntouched: boolean): void {
    const conversation = conversationOf(request.body);
    const sent = this.sent().filter(({ body }) => isDeepStrictEqual(conversationOf(body), conversation));
    expect(sent, `the place got a conversation that no client sent, at ${request.url}`).not.toEqual([]);
    if (!isUntouched) return;
    const same = sent.filter(({ body, headers }) => body.equals(request.body) && headers["anthropic-beta"] === request.headers["anthropic-beta"]);
    expect(same, `the place got bytes or betas that no client sent, at ${request.url}`).not.toEqual([]);
  }

  async #verifyLedger(): Promise<void> {
    const { scriptedErrors = 0, cutAnswers = 0 } = this.#expectations;
    const rows = await this.rows();
    const attempts = this.fake.requests.filter(({ url }) => !isCount(url)).length;
    expect(rows.map(({ provider }) => provider)).toEqual(Array.from({ length: attempts }, () => this.place));
    const sources = rows.map(({ source }) => source);
    expect([sources.filter((source) => source === "none").length, sources.filter((source) => source !== "none" && source !== "reported").length]).toEqual([scriptedErrors, cutAnswers]);
    const booked = rows.filter(({ source }) => source === "reported").map(({ model, counts, costNanoUsd }) => JSON.stringify([model, counts, isPriced(model) ? String(costNanoUsd) : "unknown"]));
    const billed = this.fake.bill().flatMap((line) => (line.type === "billed" ? [JSON.stringify([line.model, countsOf(line), isPriced(line.model) ? String(dueNanoUsd(this.place, line)) : "unknown"])] : []));
    for (const line of booked) expect(billed.splice(billed.indexOf(line), 1), "a row that is not on the bill").toEqual([line]);
    expect(billed, "lines of the bill without a row").toHaveLength(cutAnswers);
    const sessions = new Set(this.sent().map(({ headers }) => headers["x-claude-code-session-id"] ?? null));
    expect(rows.filter(({ sessionId }) => !sessions.has(sessionId))).toEqual([]);
  }
}

function isCount(url: string): boolean {
  return /count[-_]tokens/.test(url);
}

/** What the client and the model said to one another, in any envelope; CountTokens of Bedrock wraps it once more. */
function conversationOf(body: Buffer): readonly unknown[] {
  const json = JSON.parse(body.toString("utf8")) as JsonObject & { readonly input?: { readonly invokeModel?: { readonly body: string } } };
  const wrapped = json.input?.invokeModel?.body;
  return wrapped === undefined ? [json["system"], json["messages"]] : conversationOf(Buffer.from(wrapped, "base64"));
}

function countsOf({ usage }: BilledLine): readonly number[] {
  return [usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens, usage.output_tokens];
}

function isPriced(model: string): boolean {
  return pricedModels.includes(withoutDate(model));
}

function withoutDate(model: string): string {
  return model.replace(/-20\d{6}$/, "");
}

/** Bedrock, Mantle and Vertex cost a tenth more in a region than Anthropic's list; see docs/providers. */
function dueNanoUsd(place: CloudName, { model, usage }: BilledLine): bigint {
  const list = billedNanoUsd(withoutDate(model), usage);
  return place === "foundry" || place === "anthropic-aws" ? list : (list * 11n) / 10n;
}

async function startFake({ place, isClientPaid = false, isSigned = false }: CloudSceneOptions, google: FakeGoogleLogin, forbiddenSecrets: readonly string[]): Promise<FakePlace> {
  const aws = isSigned ? { keys: { [awsKeyId]: { secret: logins.aws } } } : { bearer: isClientPaid ? clientsBedrockKey : logins.bedrock };
  const starts: Record<CloudName, () => Promise<FakePlace>> = {
    bedrock: () => startFakeBedrock({ ...aws, forbiddenSecrets }) as Promise<FakePlace>,
    vertex: () => startFakeVertex({ isTokenGood: (token) => google.liveToken(token) !== undefined, project: isClientPaid ? "developers-project" : "fake-project", forbiddenSecrets }),
    foundry: () => startFakeFoundry({ apiKey: logins.foundry, forbiddenSecrets }),
    mantle: () => startFakeMantle({ ...aws, forbiddenSecrets }),
    "anthropic-aws": () => startFakeAnthropicAws({ ...(isSigned ? aws : { keys: {}, workspaceKey: logins.workspace }), workspaceId: "wrkspc_gateway", forbiddenSecrets }),
  };
  return starts[place]();
}

/** The YAML of the place's provider. */
function providerOf({ place, isClientPaid = false, isSigned = false }: CloudSceneOptions, url: string): string {
  const login = (key: string): string => (isSigned ? `, access_key_id: ${awsKeyId}, secret_access_key: ${logins.aws}` : isClientPaid ? "" : `, api_key: ${key}`);
  const settings: Record<CloudName, string> = {
    bedrock: `region: us-east-1, endpoint: "${url}"${login(logins.bedrock)}`,
    vertex: `${isClientPaid ? "" : "project: fake-project, "}location: us-east5, base_url: "${url}"`,
    foundry: `base_url: "${url}/anthropic", api_key: ${logins.foundry}`,
    mantle: `region: us-east-1, endpoint: "${url}/anthropic"${login(logins.bedrock)}`,
    "anthropic-aws": `region: us-east-1, endpoint: "${url}", workspace_id: wrkspc_gateway${login(logins.workspace)}`,
  };
  return `${place}: {kind: ${place}, ${settings[place]}}`;
}

/** Opens a scene, plays the test, verifies, and clears everything away whatever happened. */
export async function cloudScene(options: CloudSceneOptions, play: (scene: CloudScene) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-clouds-"));
  const closers: (() => Promise<void>)[] = [];
  try {
    const secrets: string[] = [];
    const google = await new FakeGoogleLogin().listen();
    closers.push(() => google.close());
    const fake = await startFake(options, google, secrets);
    closers.push(() => fake.close());
    const gateway = await startGatewayProcess({
      folder,
      providers: [providerOf(options, fake.url)],
      models: [`{name: "claude-*", targets: [{provider: ${options.place}${options.isClientPaid === true ? ", credential: client" : ""}}]}`],
      env: options.isClientPaid === true ? { NO_GCE_CHECK: "true" } : { GCE_METADATA_HOST: google.url.replace("http://", "") },
      ...(options.config === undefined ? {} : { config: options.config }),
    });
    closers.push(() => gateway.close());
    const tee = await startTee(gateway.port);
    closers.push(() => tee.close());
    const played = new CloudScene({ place: options.place, fake, google, gateway, tee, folder, secrets });
    await play(played);
    await played.verify();
  } finally {
    for (const close of closers.reverse()) await close();
    rmSync(folder, { recursive: true, force: true });
  }
}
