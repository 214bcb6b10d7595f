/**
 * A whole gateway for a test: real listener, real store in a temporary folder, a strict fake upstream behind it. Everything
 * it starts ends with `close()`.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startGateway, type Gateway } from "../../src/main.ts";

export const adminKey = "sk-test-admin-0123456789abcdefghijklmnop";
export const upstreamKey = "sk-ant-upstream-canary-000000000000000000";

export interface Harness {
  readonly url: string;
  readonly dataDir: string;
  /** The gateway's configuration, to be written anew. */
  readonly configPath: string;
  readonly gateway: Gateway;
  /** A fresh developer key. */
  key(fields?: Record<string, unknown>): Promise<string>;
  /** Calls the management API as admin; rejects unless the status is 200. */
  admin<Reply = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<Reply>;
  /** Ledger rows, newest first. */
  rows(): Promise<readonly Record<string, unknown>[]>;
  close(): Promise<void>;
}

export interface HarnessOptions {
  readonly upstreamUrl: string;
  /** YAML lines appended to the configuration. */
  readonly config?: string;
  /** Replaces the `models` section. */
  readonly models?: string;
  /** Whole configuration instead of the made one. */
  readonly file?: string;
  readonly dataDir?: string;
  readonly env?: Record<string, string>;
  readonly acceptUnenforced?: readonly string[];
}

/** YAML of the configuration that the harness uses. */
export function configText(options: HarnessOptions): string {
  return (
    options.file ??
    [
      "listen: {host: 127.0.0.1, port: 0}",
      `admin: {key: "${adminKey}"}`,
      `providers: {anthropic: {kind: anthropic, base_url: "${options.upstreamUrl}", api_key: "${upstreamKey}"}}`,
      options.models ?? 'models: [{name: "claude-*", provider: anthropic}]',
      "logging: {level: silent}",
      options.config ?? "",
    ].join("\n")
  );
}

export async function startHarness(options: HarnessOptions): Promise<Harness> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-test-"));
  const dataDir = options.dataDir ?? join(folder, "data");
  const configPath = join(folder, "tollgate.yaml");
  writeFileSync(configPath, configText(options));
  const gateway = await startGateway({ configPath, dataDir, insecureDevKey: false, acceptUnenforced: options.acceptUnenforced ?? [], env: options.env ?? {} });
  const admin = async <Reply>(method: string, path: string, body?: unknown): Promise<Reply> => {
    const reply = await fetch(`${gateway.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await reply.text();
    if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
    return JSON.parse(text) as Reply;
  };
  return {
    url: gateway.url,
    dataDir,
    configPath,
    gateway,
    admin,
    async key(fields = {}) {
      return (await admin<{ key: string }>("POST", "/key/generate", fields)).key;
    },
    async rows() {
      return (await admin<{ rows: Record<string, unknown>[] }>("GET", "/api/v1/usage?by=key&rows=1000")).rows;
    },
    async close() {
      await gateway.close(0);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Polls until `probe` gives something; for conditions that the far side reaches in its own time. */
export async function until<Value>(what: string, probe: () => Promise<Value | undefined | false> | Value | undefined | false, timeoutMs = 10_000): Promise<Value> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A Messages body. */
export function messagesBody(fields: Record<string, unknown> = {}): string {
  return JSON.stringify({ model: "claude-opus-4-8", max_tokens: 64, messages: [{ role: "user", content: "Hello" }], ...fields });
}

/** `POST /v1/messages` with the usual headers. */
export function post(url: string, key: string, body: string | Buffer, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/v1/messages?beta=true`, {
    method: "POST",
    headers: { "x-api-key": key, "anthropic-version": "2023-06-01", "content-type": "application/json", ...headers },
    body: body as string,
    ...(signal === undefined ? {} : { signal }),
  });
}
