/**
 * Two fake providers, a gateway process in front of them that can be told to reload, to drain and to be followed by another on the same data
 * and port, and a client at work with a tool that waits until the test lets it go on. Afterwards the tool's runs, every stream's grammar and the
 * ledger against both bills are checked, whatever happened in between.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import type { BilledLine } from "../support/fake-anthropic-types.ts";
import { until } from "../support/harness.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";
import { newest, runClaude, type Run, type RunOptions } from "./clients.ts";
import { adminKey } from "./gateway-process.ts";
import { ledgerRows, type LedgerLine } from "./ledger.ts";
import { startTee, type GivenReply, type Tee } from "./tee.ts";
import { startTerminal, type Terminal } from "./terminal.ts";

const root = join(import.meta.dirname, "..", "..");

/** A provider and the key that it takes at the moment. */
export interface Provider {
  readonly name: "first" | "second";
  readonly fake: FakeAnthropic;
  readonly login: { apiKey: string };
}

/** What the configuration says. */
export interface Settings {
  /** Order in which the providers are tried. */
  readonly targets?: readonly Provider["name"][];
}

/** What is out of the ordinary. */
export interface Outcome {
  /** Streams that end in an error event, or break off. Default 0. */
  readonly brokenStreams?: number;
  /** Attempts of which the ledger can only guess what they cost, or not even that. Default 0. */
  readonly guessed?: number;
  /** How often the tool had to run. Default 1. */
  readonly toolRuns?: number;
}

/** A gateway process. */
export interface Gateway {
  readonly pid: number;
  /** Its exit code; null after death by a signal. */
  readonly exited: Promise<number | null>;
  readonly hasEnded: () => boolean;
  /** What it has said. */
  readonly said: () => string;
}

/** A scene in which things fail. */
export class ResilienceStage {
  readonly first: Provider;
  readonly second: Provider;
  readonly folder: string;
  tee!: Tee;
  gateway!: Gateway;
  #port = 0;
  #starts = 0;
  readonly #gateways: Gateway[] = [];

  constructor(folder: string, first: Provider, second: Provider) {
    this.folder = folder;
    this.first = first;
    this.second = second;
    // The tool says that it has begun and waits to be let go, at most twenty seconds; then it leaves a line.
    writeFileSync(join(folder, "tool.sh"), `touch '${folder}/begun'; for step in $(seq 400); do [ -e '${folder}/go' ] && break; sleep 0.05; done; echo ran >> '${folder}/ran'; echo done\n`);
  }

  /** Shell command of the tool. */
  get command(): string {
    return `sh ${join(this.folder, "tool.sh")}`;
  }

  /** Writes the configuration, at the start or anew. */
  write({ targets = ["first", "second"] }: Settings = {}): void {
    const provider = ({ name, fake, login }: Provider): string => `  ${name}: {kind: anthropic, base_url: "${fake.url}", api_key: "${login.apiKey}"}`;
    const lines = [
      "listen: {host: 127.0.0.1, port: 0}",
      `admin: {key: "${adminKey}"}`,
      "providers:",
      provider(this.first),
      provider(this.second),
      "models:",
      `  - {name: "claude-*", targets: [${targets.map((name) => `{provider: ${name}, id: ${name}}`).join(", ")}]}`,
      "",
    ];
    writeFileSync(join(this.folder, "tollgate.yaml"), lines.join("\n"));
  }

  #command(): readonly string[] {
    return [process.execPath, join(root, "bin", "tollgate.js"), "serve", "--port", String(this.#port), "--config", join(this.folder, "tollgate.yaml"), "--data-dir", join(this.folder, "data")];
  }

  #surroundings(): { readonly cwd: string; readonly env: Readonly<Record<string, string>> } {
    return { cwd: this.folder, env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME: this.folder } };
  }

  /** Starts a gateway, the second time on the port and the data of the first one. */
  async start(): Promise<void> {
    this.#starts += 1;
    const logPath = join(this.folder, `gateway-${this.#starts}.log`);
    const [program, ...args] = this.#command();
    const log = openSync(logPath, "a");
    const child = spawn(program!, args, { ...this.#surroundings(), stdio: ["ignore", log, log] });
    closeSync(log);
    const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
    const exited = new Promise<number | null>((resolve) => void child.once("close", resolve));
    await this.#listening({ pid: child.pid!, exited, hasEnded, said: () => readFileSync(logPath, "utf8") });
  }

  /** Starts a gateway with `nohup` on a terminal, to be closed. */
  async startOnTerminal(): Promise<Terminal> {
    const [logPath, pidPath] = ["gateway.log", "gateway.pid"].map((name) => join(this.folder, name));
    const words = this.#command().map((word) => `'${word}'`).join(" ");
    const terminal = startTerminal({ command: ["sh", "-c", `nohup ${words} > '${logPath}' 2>&1 & echo $! > '${pidPath}'; wait`], ...this.#surroundings() });
    const pid = await until("the process", () => (existsSync(pidPath!) ? Number(readFileSync(pidPath!, "utf8")) : undefined));
    const hasEnded = (): boolean => !existsSync(`/proc/${pid}`);
    const exited = until("its end", () => hasEnded(), 60_000).then(() => null, () => null);
    await this.#listening({ pid, exited, hasEnded, said: () => (existsSync(logPath!) ? readFileSync(logPath!, "utf8") : "") });
    return terminal;
  }

  async #listening(gateway: Gateway): Promise<void> {
    const { said, hasEnded } = gateway;
    this.#gateways.push(gateway);
    this.gateway = gateway;
    this.#port = await until("the gateway", () => {
      if (hasEnded()) throw new Error(`the gateway has ended: ${said()}`);
      const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(said())?.[1];
      return found === undefined ? undefined : Number(found);
    });
    this.tee ??= await startTee(this.#port);
  }

  signal(name: "SIGTERM" | "SIGHUP"): void {
    process.kill(this.gateway.pid, name);
  }

  /** Calls the management API; rejects unless the status is 200. */
  async admin<Reply>(method: string, path: string, body?: unknown): Promise<Reply> {
    const reply = await fetch(`http://127.0.0.1:${this.#port}${path}`, { method, headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    const text = await reply.text();
    if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
    return JSON.parse(text) as Reply;
  }

  /** Readings of the configuration that have succeeded since the start. */
  async reloads(): Promise<number> {
    const reply = await fetch(`http://127.0.0.1:${this.#port}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } });
    return Number(/^tollgate_config_reloads_total\{result="ok"\} (\d+)$/m.exec(await reply.text())?.[1]);
  }

  async key(): Promise<string> {
    return (await this.admin<{ key: string }>("POST", "/key/generate", {})).key;
  }

  /** A call beside the client's, whose stream has begun and does not end until it is given up. */
  async callThatHangs(key: string): Promise<AbortController> {
    const leaving = new AbortController();
    const body = JSON.stringify({ model: "claude-haiku-4-5", max_tokens: 64, stream: true, messages: [{ role: "user", content: "Hello" }] });
    const behaviour = JSON.stringify({ text: "A word or two. ".repeat(20), fault: { at: "mid-text", does: "stall", isWholeEvents: true } });
    const reply = await fetch(`http://127.0.0.1:${this.#port}/v1/messages`, { method: "POST", headers: { "x-api-key": key, "anthropic-version": "2023-06-01", "content-type": "application/json", "anthropic-test-behaviour": behaviour }, body, signal: leaving.signal });
    expect(reply.status).toBe(200);
    return leaving;
  }

  /** Starts the client at its work. */
  run(options: Pick<RunOptions, "env" | "settings">): Promise<Run> {
    const env = { ANTHROPIC_BASE_URL: this.tee.url, CLAUDE_CODE_MAX_RETRIES: "8", ANTHROPIC_MODEL: "claude-opus-4-8", ...options.env };
    return runClaude(newest, { ...options, env, prompt: "Work.", args: ["--allowedTools", "Bash", "--output-format", "json"], folder: this.folder });
  }

  /** Resolves once the client runs the tool. */
  async toolBegun(): Promise<void> {
    await until("the tool's run", () => existsSync(join(this.folder, "begun")), 30_000);
  }

  /** Lets the tool end, now or as soon as it begins. */
  letToolGo(): void {
    writeFileSync(join(this.folder, "go"), "");
  }

  /** Replies to inference requests, as the client got them. */
  replies(): readonly GivenReply[] {
    return this.tee.replies().filter(({ headers }) => "x-tollgate-request-id" in headers);
  }

  /** Targets that served, in the order of the replies. */
  served(): readonly (string | undefined)[] {
    return this.replies().filter(({ status }) => status === 200).map(({ headers }) => headers["x-litellm-model-id"]);
  }

  /** Upstream attempts, oldest first. */
  async rows(): Promise<readonly LedgerLine[]> {
    const received = [this.first, this.second].reduce((sum, { fake }) => sum + fake.requests.filter(({ url }) => /^\/v1\/messages(?:\?|$)/.test(url)).length, 0);
    const gateway = { url: "", port: this.#port, admin: <Reply>(method: string, path: string, body?: unknown) => this.admin<Reply>(method, path, body), close: () => Promise.resolve() };
    const rows = await until("the closed rows", async () => {
      const found = await ledgerRows(gateway);
      return found.length >= received && found.every(({ state }) => state !== "open") ? found : undefined;
    });
    expect(rows, "one row for each upstream attempt").toHaveLength(received);
    return rows.toReversed();
  }

  /** What must hold in any case: an orderly end, a tool that ran as often as it was called, legal streams, one true row for each billed attempt. */
  async verify(run: Run, { brokenStreams = 0, guessed = 0, toolRuns = 1 }: Outcome = {}): Promise<void> {
    expect(run.exitCode, run.output).toBe(0);
    expect(JSON.parse(run.stdout), run.output).toMatchObject({ type: "result", subtype: "success", is_error: false, result: "all is well" });
    expect(readFileSync(join(this.folder, "ran"), "utf8")).toBe("ran\n".repeat(toolRuns));
    const streams = this.replies().filter(({ headers }) => headers["content-type"]?.startsWith("text/event-stream") === true);
    const judged = streams.map(({ body }) => checkStreamGrammar(body));
    expect(judged.filter(({ ok }) => !ok)).toEqual([]);
    expect(judged.filter((each) => each.ok && each.outcome !== "stop")).toHaveLength(brokenStreams);
    await this.#verifyBills(guessed);
  }

  async #verifyBills(guessed: number): Promise<void> {
    const rows = await this.rows();
    const lines = [this.first, this.second].flatMap(({ name, fake }) => fake.bill().filter((line) => line.type === "billed").map((line) => ({ name, line })));
    for (const { fake } of [this.first, this.second]) expect([fake.violations, fake.rejections]).toEqual([[], []]);
    const told = rows.filter(({ source }) => source === "reported");
    expect(rows.filter(({ source }) => source !== "reported" && source !== "none")).toHaveLength(guessed);
    expect(rows.filter(({ source, costNanoUsd }) => source === "none" && costNanoUsd !== 0n)).toEqual([]);
    // Each line of a bill is one row: the same in all counts, or a guess.
    expect(lines).toHaveLength(told.length + guessed);
    for (const { upstreamRequestId, provider, counts } of told) {
      const own = lines.filter(({ line }) => line.requestId === upstreamRequestId);
      expect(own.map(({ name, line }) => [name, countsOf(line)])).toEqual([[provider, counts]]);
    }
    expect(new Set(told.map(({ upstreamRequestId }) => upstreamRequestId)).size).toBe(told.length);
  }

  async close(): Promise<void> {
    this.letToolGo();
    for (const { pid, exited, hasEnded } of this.#gateways) {
      if (!hasEnded()) process.kill(pid, "SIGKILL");
      await exited;
    }
    await (this.tee as Tee | undefined)?.close();
    await this.first.fake.close();
    await this.second.fake.close();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function countsOf({ usage }: BilledLine): readonly number[] {
  return [usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens, usage.output_tokens];
}

async function startProvider(name: Provider["name"]): Promise<Provider> {
  const login = { apiKey: `sk-ant-${name}-canary-8vQ2mZx6Tn4Kp0Ws` };
  // Kept by reference, so that the key can be changed while the provider runs.
  return { name, login, fake: await startFakeAnthropic(Object.assign(login, { expectSystemArray: false, forbiddenSecrets: [adminKey] })) };
}

/** Opens a stage, plays, and clears everything away whatever happened. @param isStarted false: the test starts the gateway by itself */
export async function resilienceStage(play: (stage: ResilienceStage) => Promise<void>, { isStarted = true }: { readonly isStarted?: boolean } = {}): Promise<void> {
  const stage = new ResilienceStage(mkdtempSync(join(tmpdir(), "tollgate-resilience-")), await startProvider("first"), await startProvider("second"));
  try {
    stage.write();
    if (isStarted) await stage.start();
    await play(stage);
  } finally {
    await stage.close();
  }
}
