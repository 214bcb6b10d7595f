/** Entries, keys and audit records of ordinary shape, and the child process that a store's crash test kills. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { AuditRecord } from "../../src/audit/record.ts";
import type { KeyRecord, KeySecret } from "../../src/identity/key-store.ts";
import { newId, type Id } from "../../src/kernel/ids.ts";
import { nanoUsd } from "../../src/kernel/money.ts";
import type { AttemptClosing, AttemptOpening } from "../../src/pipeline/books.ts";

/** Wall time of the fixtures unless told otherwise: 2026-03-01T12:00Z, in milliseconds. */
export const noonMs = Date.UTC(2026, 2, 1, 12);

let ordinal = 0;

/** An opening whose ids are made at its own `openedAtMs`. */
export function openingOf(members: Partial<AttemptOpening> = {}): AttemptOpening {
  const openedAtMs = members.openedAtMs ?? noonMs + ordinal++;
  return {
    attemptId: newId("att", openedAtMs),
    requestId: newId("req", openedAtMs),
    ordinal: 1,
    openedAtMs,
    keyId: "key_A",
    userId: "ada",
    teamId: "platform",
    organizationId: null,
    endUserId: null,
    project: "apollo",
    tags: [],
    sessionId: "session-1",
    agentId: null,
    parentAgentId: null,
    requestClass: null,
    requestedModel: "claude-sonnet",
    model: "claude-sonnet",
    upstreamModel: "claude-sonnet-4-5",
    provider: "anthropic",
    targetId: "target-1",
    isStreaming: true,
    requestBytes: 1_234,
    expectedCacheReadTokens: 4_000,
    holdNanoUsd: nanoUsd(0n),
    strictHoldNanoUsd: nanoUsd(0n),
    ...members,
  };
}

/** A closing that reports 1 000 nano-USD unless told otherwise. */
export function closingOf(attemptId: Id<"att">, members: Partial<AttemptClosing> = {}): AttemptClosing {
  return {
    attemptId,
    closedAtMs: noonMs + 2_000,
    outcome: "completed",
    status: 200,
    source: "reported",
    counts: { input: 10, cacheRead: 20, cacheWrite5m: 30, cacheWrite1h: 40, output: 50 },
    serverToolUses: {},
    servedModel: "claude-sonnet-4-5",
    costNanoUsd: nanoUsd(1_000n),
    priceRow: "anthropic/claude-sonnet-4-5",
    isProvisional: false,
    isUnpriced: false,
    usageJson: '{"input_tokens":10}',
    firstEventMs: 300,
    durationMs: 2_000,
    responseBytes: 4_321,
    upstreamRequestId: "req_upstream",
    loss: "field:context_management",
    cacheMiss: { reason: "moved", lostTokens: 3_980, costNanoUsd: nanoUsd(7n) },
    ...members,
  };
}

/** A key with every optional member set, so that a forgotten column shows. */
export function keyOf(members: Partial<KeyRecord> = {}): KeyRecord {
  const id = newId("key", noonMs);
  return {
    id,
    tokenHash: `hash-of-${id}`,
    name: "sk-...abcd",
    alias: `alias-of-${id}`,
    userId: "ada",
    teamId: "platform",
    organizationId: "acme",
    models: ["claude-*"],
    aliases: { sonnet: "claude-sonnet-4-5" },
    maxBudgetUsd: "12.50",
    budgetDuration: "30d",
    softBudgetUsd: "10.75",
    budgetLimits: [{ maxBudgetUsd: "2.00", budgetDuration: "1d" }],
    modelBudgets: { "claude-opus-5-5": { maxBudgetUsd: "5.50", budgetDuration: null } },
    termsId: "terms-1",
    runBudgetUsd: "3.25",
    expiresAtMs: noonMs + 86_400_000,
    metadata: { note: "ünïcode \u{1f511}", nested: { list: [1, null] } },
    tags: ["team:platform"],
    rpmLimit: 60,
    tpmLimit: 100_000,
    maxParallelRequests: 8,
    isBlocked: false,
    revokedAtMs: null,
    createdAtMs: noonMs,
    createdBy: "admin",
    updatedAtMs: noonMs,
    ...members,
  };
}

/** The current secret of `key`. */
export function secretOf(key: KeyRecord, members: Partial<KeySecret> = {}): KeySecret {
  return { hash: key.tokenHash, keyId: key.id, kind: "current", expiresAtMs: null, ...members };
}

/** A record of the fixtures' noon. */
export function auditOf(members: Partial<AuditRecord> = {}): AuditRecord {
  return { id: newId("aud", noonMs), atMs: noonMs, action: "key.create", actor: "admin", object: "key_A", details: { alias: "a" }, sourceAddress: "127.0.0.1", ...members };
}

/** What a writer process has said: one line per acknowledged write. */
export interface WriterProcess {
  readonly child: ChildProcess;
  /** Acknowledged ids by what was written: `opened`, `closed`, `key`. */
  readonly acknowledged: ReadonlyMap<string, readonly string[]>;
  /** Resolves when `count` lines have come; rejects with its error output when it ends before that. */
  lines(count: number): Promise<void>;
  /** Kills it as `kill -9` does, and waits for its end and for the last line it wrote. */
  kill(): Promise<void>;
}

/** Starts `script`, which writes to the store in `folder` without end and prints `<kind> <id>` after each acknowledgement. */
export function startWriter(script: string, folder: string): WriterProcess {
  const child = spawn(process.execPath, [script, folder], { stdio: ["ignore", "pipe", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => void (complaint += chunk.toString()));
  const acknowledged = new Map<string, string[]>();
  let count = 0;
  let waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const reader = createInterface({ input: child.stdout });
  const readToEnd = new Promise<void>((resolve) => reader.once("close", () => resolve()));
  reader.on("line", (line) => {
    const [kind = "", id = ""] = line.split(" ");
    acknowledged.set(kind, [...(acknowledged.get(kind) ?? []), id]);
    count++;
    for (const wait of waiting.filter((each) => each.count <= count)) wait.resolve();
    waiting = waiting.filter((each) => each.count > count);
  });
  return {
    child,
    acknowledged,
    lines: (wanted) =>
      new Promise((resolve, reject) => {
        if (wanted <= count) return resolve();
        waiting.push({ count: wanted, resolve });
        void ended.then(() => reject(new Error(`the writer ended by itself: ${complaint}`)));
      }),
    async kill() {
      child.kill("SIGKILL");
      await Promise.all([ended, readToEnd]);
    },
  };
}
