/**
 * One gateway of the simulated world: the real pipeline, ledger and journal over a real SQLite database in memory. A process of it
 * can die at any moment: what was committed stays, all else is gone, and the next one starts from the rows.
 */
import { readFileSync } from "node:fs";
import { createBetaMemory } from "../../src/routing/beta-memory.ts";
import { createRoutingState } from "../../src/routing/state.ts";
import { createRouteTable } from "../../src/routing/route.ts";
import type { GatewayConfig } from "../../src/config/gateway-config.ts";
import { loadConfig } from "../../src/config/load.ts";
import { dialects } from "../../src/dialects/registry.ts";
import type { Authenticator } from "../../src/identity/authenticate.ts";
import type { KeyRecord } from "../../src/identity/key-store.ts";
import { Cancellation } from "../../src/kernel/cancellation.ts";
import type { Clock } from "../../src/kernel/clock.ts";
import { newId } from "../../src/kernel/ids.ts";
import type { Budget } from "../../src/ledger/budget.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import type { Payer } from "../../src/ledger/scope.ts";
import { followKeys, startLedger } from "../../src/ledger/start-ledger.ts";
import type { UsageStore } from "../../src/ledger/usage-store.ts";
import { createLimitRules } from "../../src/limits/limit-rules.ts";
import { createLimiter } from "../../src/limits/limiter.ts";
import { loadPriceBook } from "../../src/metering/price-book.ts";
import { createEstimates } from "../../src/pipeline/estimator.ts";
import type { Estimates } from "../../src/pipeline/estimates.ts";
import { handle } from "../../src/pipeline/handle.ts";
import type { Services } from "../../src/pipeline/services.ts";
import type { Place, Snapshot } from "../../src/pipeline/snapshot.ts";
import { createStreamWatch } from "../../src/pipeline/stream-watch.ts";
import { providers } from "../../src/providers/registry.ts";
import { messagesIngress } from "../../src/server/ingress/messages.ts";
import { migrate } from "../../src/store/migrations/migrate.ts";
import { SqlDatabase, sqlScript } from "../../src/store/sql.ts";
import { sqliteBooks, type SqliteBooks } from "../../src/store/sqlite/books.ts";
import { recoverAttempts } from "../../src/store/sqlite/journal-mark.ts";
import { sqliteUsage } from "../../src/store/sqlite/usage.ts";
import type { SimulatedRequest, SimulatedResponse } from "./client.ts";
import type { EndedRow } from "./naive-ledger.ts";
import type { SimulatedTime } from "./time.ts";
import type { Upstream } from "./upstream.ts";

/** Two places for each model, of which the second is tried where the first fails; nothing listens there. */
const file = [
  "admin: {key: sk-simulation-admin-0123456789abcdef}",
  'providers: {near: {kind: anthropic, base_url: "http://127.0.0.1:1", api_key: sk-ant-near-0123456789}, far: {kind: anthropic, base_url: "http://127.0.0.1:2", api_key: sk-ant-far-0123456789}}',
  "models:",
  ...["claude-opus-4-8", "claude-haiku-4-5"].map((model) => `  - {name: ${model}, targets: [{id: near-${model}, provider: near, model: ${model}}, {id: far-${model}, provider: far, model: ${model}}]}`),
].join("\n");

/** Origins by name, for the bill. */
export const origins: ReadonlyMap<string, string> = new Map([
  ["http://127.0.0.1:1", "near"],
  ["http://127.0.0.1:2", "far"],
]);

let known: Snapshot | undefined;

/** Of the configuration's file; budgets come with each world. */
function snapshotOf(): Snapshot {
  if (known !== undefined) return known;
  const loaded = loadConfig({ path: "tollgate.yaml", env: {}, readFile: (path) => (path === "tollgate.yaml" ? file : readFileSync(path, "utf8")), providerSchemas: new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings])), accept: [], allowInsecureDevKey: false });
  if (!loaded.ok) throw new Error(loaded.errors.map(({ path, message }) => `${path} ${message}`).join("; "));
  const config: GatewayConfig = loaded.config;
  const places = new Map<string, Place>();
  for (const { name, kind, settings } of config.providers.values()) {
    const provider = providers[kind]!;
    places.set(name, { name, provider, settings, credentials: undefined, destination: provider.destination(settings) });
  }
  return (known = { config, priceBook: loadPriceBook(), places, routes: createRouteTable(config), limitRules: createLimitRules(config.rateLimits.rules) });
}

/** A database that fails when told so, and dies with the process. */
export class FaultySql extends SqlDatabase {
  /** Asked before each commit: `lost`: nothing is written; `late`: it is written, and yet reported as failed. Both throw. */
  fate: () => "fine" | "lost" | "late" = () => "fine";

  override transaction<Result>(action: () => Result): Result {
    const fate = this.fate();
    if (fate === "lost") throw new Error("the disk is full");
    const result = super.transaction(action);
    if (fate === "late") throw new Error("the disk failed after the commit");
    return result;
  }
}

let shared: FaultySql | undefined;
const empty = sqlScript`
  DELETE FROM attempts;
  DELETE FROM key_spend;
  UPDATE journal_mark SET low_attempt_id = '';
`;

/** The same database for one world after the other, emptied: to make one takes longer than many a world. */
export function openSql(nowMs: number): FaultySql {
  if (shared === undefined) migrate((shared = new FaultySql(":memory:", { busyTimeoutMs: 0 })), ":memory:", nowMs);
  else shared.script(empty);
  shared.fate = () => "fine";
  return shared;
}

/** What counts of all attempts that have ended, read without the product's own reader. */
export function endedRows(sql: SqlDatabase): readonly EndedRow[] {
  const rows = sql.rows`SELECT a.*, coalesce(a.model, a.requested_model) AS served_name, coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0) AS charge
    FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id WHERE a.state <> 'open' ORDER BY a.attempt_id`;
  return rows.map((row) => {
    const text = (name: string): string => row[name] as string;
    const textOrNull = (name: string): string | null => row[name] as string | null;
    const isUnresolved = text("state") === "unresolved";
    const charge = row["charge"] as bigint;
    const [held, strict] = [row["hold_nano_usd"] as bigint, row["strict_hold_nano_usd"] as bigint];
    return {
      attemptId: text("attempt_id"),
      openedAtMs: Number(row["opened_at_ms"]),
      isUnresolved,
      payer: (textOrNull("payer") ?? "caller") as Payer,
      amount: isUnresolved ? held : charge,
      strictAmount: isUnresolved ? (strict > held ? strict : held) : charge,
      spender: {
        keyId: text("key_id"), userId: textOrNull("user_id"), teamId: textOrNull("team_id"), organizationId: textOrNull("organization_id"), endUserId: textOrNull("end_user_id"),
        project: textOrNull("project"), tags: [], sessionId: textOrNull("session_id"), model: text("served_name"), provider: text("provider"), targetId: text("target_id"),
      },
    };
  });
}

/** One process, from its start to its death. */
export interface Life {
  readonly clock: Clock;
  readonly services: Services;
  readonly ledger: Ledger;
  readonly books: SqliteBooks;
  readonly usage: UsageStore;
  isAlive: boolean;
  serve(request: SimulatedRequest, response: SimulatedResponse): void;
  /** As after a change of a key through the management API. */
  changeKey(key: KeyRecord): Promise<void>;
}

export interface LifeOptions {
  readonly time: SimulatedTime;
  readonly sql: FaultySql;
  readonly upstream: Upstream;
  readonly budgets: readonly Budget[];
  /** By the secret that clients send. Live. */
  readonly keys: ReadonlyMap<string, KeyRecord>;
  /** Sees the ledger before anybody else does. */
  readonly watchLedger: (ledger: Ledger) => Ledger;
  /** In [0, 1); absent: always one half. */
  readonly random?: () => number;
  /** As they are in the product where absent. */
  readonly estimates?: (clock: Clock) => Estimates;
  /** What must never be logged: a fault of our own. */
  readonly onFault: (text: string) => void;
}

/** A start as `main.ts` makes it. Throws when the store does not take the recovery. */
export async function startLife(options: LifeOptions): Promise<Life> {
  const { time, sql, upstream, keys, onFault } = options;
  const alive = { isAlive: true };
  const isAlive = (): boolean => alive.isAlive;
  const clock = time.clockFor(isAlive);
  sql.transaction(() => recoverAttempts(sql, clock.now()));
  const books = sqliteBooks({ sql, clock });
  const usage = flushed(sqliteUsage(sql), books);
  const ledger = options.watchLedger(await startLedger({ budgets: options.budgets, keys: [...keys.values()].filter(({ revokedAtMs }) => revokedAtMs === null), usage, nowMs: clock.now() }));
  const snapshot = snapshotOf();
  const nothing = (): void => {};
  const fault = (fields: unknown, text: string): void => {
    if (isAlive()) onFault(`${text}: ${JSON.stringify(fields)}`);
  };
  const services: Services = {
    clock,
    authenticator: authenticatorOf(keys),
    books,
    ledger,
    estimates: (options.estimates ?? createEstimates)(clock),
    limiter: createLimiter(),
    dialer: upstream.dialerFor(isAlive),
    watch: createStreamWatch(clock),
    refusals: { count: nothing, flush: () => Promise.resolve(), close: () => Promise.resolve() },
    betaMemory: createBetaMemory(clock),
    routing: createRoutingState(clock, snapshot.config.routing, options.random ?? (() => 0.5)),
    log: { request: nothing, info: nothing, warn: nothing, error: fault, flush: nothing },
    metrics: { requestFinished: nothing, cacheMissed: nothing, triedAgain: nothing, streamOpened: nothing, streamClosed: nothing, connect: nothing, render: () => Promise.reject(new Error("not here")) },
    load: { inFlight: 0, total: 0, byKey: new Map() },
  };
  return Object.assign(alive, {
    clock,
    services,
    ledger,
    books,
    usage,
    serve(request: SimulatedRequest, response: SimulatedResponse) {
      void handle(services, exchangeOf(request, response, snapshot, clock));
      request.arrive();
    },
    changeKey: (key: KeyRecord) => followKeys(ledger, [key], usage, clock.now()),
  });
}

/** As the store gives it: a read of what counts sees all that has ended. */
function flushed(usage: UsageStore, books: SqliteBooks): UsageStore {
  return {
    ...usage,
    spentSince(...range) {
      books.flush();
      return usage.spentSince(...range);
    },
    spentIn(...range) {
      books.flush();
      const failure = books.failure();
      return failure === undefined ? usage.spentIn(...range) : Promise.reject(failure);
    },
  };
}

function authenticatorOf(keys: ReadonlyMap<string, KeyRecord>): Authenticator {
  return {
    authenticate(headers) {
      const key = keys.get(String(headers["x-api-key"]));
      if (key === undefined || key.revokedAtMs !== null) return { ok: false, code: "client_key_invalid" };
      const { id, userId, teamId, organizationId } = key;
      return { ok: true, header: "x-api-key", principal: { role: "developer", keyId: id, key, userId, teamId, organizationId, mayInfer: true } };
    },
  };
}

function exchangeOf({ message }: SimulatedRequest, response: SimulatedResponse, snapshot: Snapshot, clock: Clock): Parameters<typeof handle>[1] {
  return {
    requestId: newId("req", clock.now()),
    request: message,
    response: response.message,
    dialect: dialects["anthropic-messages"],
    ingress: messagesIngress,
    operation: "messages",
    snapshot,
    query: "",
    startedAtMs: clock.now(),
    startedAt: clock.monotonic(),
    ending: new Cancellation(),
    report: {
      keyId: undefined, model: undefined, provider: undefined, targetId: undefined, isStreaming: false, attempts: 0, requestBytes: 0, uploadMs: 0, responseBytes: 0,
      firstEventMs: undefined, overheadMs: undefined, costUsd: undefined, outcome: undefined, fault: undefined, tokens: undefined,
    },
  };
}
