/**
 * The whole scene of one test: the strict fake provider with its own bill, a gateway process in front of it, a relay that keeps
 * the client's bytes in front of that. Whatever a test is about, the scene then demands what must hold for every request: the
 * provider got the client's bytes, refused none of them, saw no client credential, and billed what the ledger says.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import type { BilledLine, FakeAnthropicOptions, RecordedRequest } from "../support/fake-anthropic-types.ts";
import { runClaude, type ClaudeCode, type Run, type RunOptions } from "./clients.ts";
import { startGatewayProcess, upstreamKey, type GatewayProcess } from "./gateway-process.ts";
import { ledgerRows, type LedgerLine } from "./ledger.ts";
import { startTee, type SentRequest, type Tee } from "./tee.ts";

/** What differs from scene to scene. */
export interface SceneOptions {
  /** YAML list items of the gateway's `models`. */
  readonly models?: readonly string[];
  /** YAML lines added to the gateway's configuration. */
  readonly config?: readonly string[];
  readonly fake?: FakeAnthropicOptions;
}

/** What a test expects beyond the ordinary; everything else is demanded to be in order. */
export interface Expectations {
  /** Inference requests that the gateway answers itself. Default 0. */
  readonly heldBack?: number;
  /** Messages of refusals by the fake's own checks, in order. Default none. */
  readonly rejections?: readonly RegExp[];
  /** What the gateway is configured to change in a body. */
  readonly rewrite?: (body: string) => string;
  /** The client speaks another envelope than the provider, so that bytes cannot be compared; the fake judges what it gets. */
  readonly isReshaped?: boolean;
  /** Bill lines whose answers did not reach the client whole, so that the ledger may hold an estimate. Default 0. */
  readonly cutAnswers?: number;
  /** Rows that the gateway must book as estimated; default `cutAnswers`. More where a success could not be read. */
  readonly estimatedRows?: number;
}

/** A scene that plays. */
export class Scene {
  readonly fake: FakeAnthropic;
  readonly gateway: GatewayProcess;
  readonly tee: Tee;
  readonly folder: string;
  readonly #secrets: string[];
  #expectations: Expectations = {};

  constructor(parts: { fake: FakeAnthropic; gateway: GatewayProcess; tee: Tee; folder: string; secrets: string[] }) {
    this.fake = parts.fake;
    this.gateway = parts.gateway;
    this.tee = parts.tee;
    this.folder = parts.folder;
    this.#secrets = parts.secrets;
  }

  /** A fresh developer key; from now on it may not reach the provider. */
  async key(fields: Record<string, unknown> = {}): Promise<string> {
    const { key } = await this.gateway.admin<{ key: string }>("POST", "/key/generate", fields);
    this.keepSecret(key);
    return key;
  }

  /** The provider must never see this value. */
  keepSecret(value: string): void {
    this.#secrets.push(value);
  }

  /** Says what is out of the ordinary in this test. */
  expect(expectations: Expectations): void {
    this.#expectations = expectations;
  }

  /** Runs a client against the gateway; few retries, so that a fault shows quickly. */
  run(client: ClaudeCode, options: Omit<RunOptions, "folder">): Promise<Run> {
    const env = { ANTHROPIC_BASE_URL: this.tee.url, CLAUDE_CODE_MAX_RETRIES: "3", ...options.env };
    return runClaude(client, { ...options, env, folder: this.folder });
  }

  /** Inference requests as they left the clients. */
  sent(): readonly SentRequest[] {
    return this.tee.requests().filter(({ method, target }) => method === "POST" && target.startsWith("/v1/messages"));
  }

  /** Inference requests as they reached the provider. */
  received(): readonly RecordedRequest[] {
    return this.fake.requests.filter(({ method, url }) => method === "POST" && url.startsWith("/v1/messages"));
  }

  /** Everything that must hold whatever the test was about. */
  async verify(): Promise<void> {
    const { heldBack = 0, rejections = [], rewrite, isReshaped = false, cutAnswers = 0, estimatedRows = cutAnswers } = this.#expectations;
    expect(this.fake.violations).toEqual([]);
    expect(this.fake.rejections.map(({ message }) => message)).toEqual(rejections.map((pattern) => expect.stringMatching(pattern) as string));
    if (!isReshaped) this.#verifyBytes(heldBack, rewrite ?? ((body) => body));
    await this.#verifyLedger(cutAnswers, estimatedRows);
  }

  #verifyBytes(heldBack: number, rewrite: (body: string) => string): void {
    const open = this.sent().map((request) => ({ request, body: rewrite(request.body.toString("latin1")) }));
    for (const { body, headers, url } of this.received()) {
      const at = open.findIndex((one) => one.body === body.toString("latin1") && forwarded(one.request.headers) === forwarded(headers) && one.request.target === url);
      expect(at, `the provider got ${url} with bytes or headers that no client sent: ${forwarded(headers)}`).not.toBe(-1);
      open.splice(at, 1);
    }
    expect(open.map(({ request }) => request.target)).toHaveLength(heldBack);
  }

  async #verifyLedger(cutAnswers: number, estimatedRows: number): Promise<void> {
    const billed = this.fake.bill().filter((line) => line.type === "billed");
    const attempts = this.received().filter(({ url }) => !url.startsWith("/v1/messages/count_tokens"));
    const rows = await settled(this.gateway, attempts.length);
    // A connection that broke before a reply leaves the bill unknown, and the row says so; none may stay open.
    expect(rows.map(({ state }) => state === "open")).toEqual(attempts.map(() => false));
    const reported = rows.filter(({ source }) => source === "reported").map(accountOf);
    const ids = new Set(reported.map(({ upstreamRequestId }) => upstreamRequestId));
    const [whole, cut] = [billed.filter(({ requestId }) => ids.has(requestId)), billed.filter(({ requestId }) => !ids.has(requestId))];
    expect(reported.sort(byRequest)).toEqual(whole.map(billOf).sort(byRequest));
    // Where the provider never got to say what it bills, the ledger must say that it guesses.
    expect(cut.map(({ requestId }) => requestId)).toHaveLength(cutAnswers);
    expect(rows.filter(({ source }) => source !== "reported" && source !== "none")).toHaveLength(estimatedRows);
  }
}

type Account = Pick<LedgerLine, "upstreamRequestId" | "model" | "sessionId" | "counts">;

function accountOf({ upstreamRequestId, model, sessionId, counts }: LedgerLine): Account {
  return { upstreamRequestId, model, sessionId, counts };
}

function byRequest(a: Account, b: Account): number {
  return a.upstreamRequestId.localeCompare(b.upstreamRequestId);
}

function billOf({ requestId, model, sessionId, usage }: BilledLine): Account {
  return {
    upstreamRequestId: requestId,
    model,
    sessionId,
    counts: [usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens, usage.output_tokens],
  };
}

/** The headers that must arrive as they left, in one comparable line. */
function forwarded(headers: Readonly<Record<string, string>>): string {
  const names = Object.keys(headers).filter((name) => name.startsWith("anthropic-") || name.startsWith("x-claude-code-") || name === "content-type");
  return names.sort().map((name) => `${name}: ${headers[name]}`).join("\n");
}

/** The ledger once every attempt is in it and closed: the entry is closed just after the client has its last byte. */
async function settled(gateway: GatewayProcess, attempts: number): Promise<readonly LedgerLine[]> {
  const end = performance.now() + 5_000;
  for (;;) {
    const rows = await ledgerRows(gateway);
    if ((rows.length >= attempts && rows.every(({ state }) => state !== "open")) || performance.now() > end) return rows;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Opens a scene, plays the test, verifies, and clears everything away whatever happened. */
export async function scene(options: SceneOptions, play: (scene: Scene) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-clients-"));
  const closers: (() => Promise<void>)[] = [];
  try {
    const secrets: string[] = [];
    const fake = await startFakeAnthropic({ apiKey: upstreamKey, expectSystemArray: false, forbiddenSecrets: secrets, ...options.fake });
    closers.push(() => fake.close());
    const { models, config } = options;
    const gateway = await startGatewayProcess({ upstreamUrl: fake.url, folder, ...(models === undefined ? {} : { models }), ...(config === undefined ? {} : { config }) });
    closers.push(() => gateway.close());
    const tee = await startTee(gateway.port);
    closers.push(() => tee.close());
    const played = new Scene({ fake, gateway, tee, folder, secrets });
    await play(played);
    await played.verify();
  } finally {
    for (const close of closers.reverse()) await close();
    rmSync(folder, { recursive: true, force: true });
  }
}
