/**
 * The composition root: configuration → stores → services → servers. The only file that knows every room; nothing but the
 * command line's `serve` imports it.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { firstKeys, type FirstStart } from "./admin/first-keys.ts";
import type { Budget } from "./ledger/budget.ts";
import type { Scope } from "./ledger/scope.ts";
import { followKeys, followScope, neededSince, startLedger } from "./ledger/start-ledger.ts";
import type { KeyRecord } from "./identity/key-store.ts";
import { createEstimates } from "./pipeline/estimator.ts";
import { createKeyTermsService } from "./admin/key-terms.ts";
import { createKeyService } from "./admin/keys.ts";
import { budgetOf, createManagedBudgets, isOverruled } from "./admin/managed-budgets.ts";
import type { RoutingView } from "./admin/routing.ts";
import { createAdminRoutes } from "./admin/routes.ts";
import { createRefusalLog } from "./audit/refusals.ts";
import { downgradeFaults } from "./config/checks.ts";
import type { GatewayConfig, ConfigNotice } from "./config/gateway-config.ts";
import { createAuthenticator, type Authenticator } from "./identity/authenticate.ts";
import { createKeyIndex } from "./identity/key-index.ts";
import { createKeyTermsBook } from "./identity/key-terms.ts";
import { hashKey } from "./identity/virtual-key.ts";
import { systemClock, type Clock } from "./kernel/clock.ts";
import type { GatewayError } from "./kernel/gateway-error.ts";
import { systemRandom } from "./kernel/random.ts";
import { createApply } from "./main/apply-config.ts";
import { createCredentialRuntime } from "./main/credential-runtime.ts";
import { createEgress, networkOf } from "./main/egress.ts";
import { explainRoute } from "./pipeline/explain.ts";
import { startTargetChecks } from "./pipeline/target-checks.ts";
import { startWarnings } from "./main/warnings.ts";
import { collectWhenQuiet, exposedCollector } from "./main/idle-memory.ts";
import { gatewaySecret, keyFolder } from "./main/key-files.ts";
import { createOutage, type Outage } from "./main/outage.ts";
import { createReconcilePrices, repriceOld } from "./main/prices.ts";
import { readConfig, type ConfigReading, type ConfigSource } from "./main/read-config.ts";
import { createReload, type Reload } from "./main/reload.ts";
import { makeSnapshot, movedTargets } from "./main/snapshot.ts";
import { loadPriceBook } from "./metering/price-book.ts";
import type { Services } from "./pipeline/services.ts";
import type { Snapshot } from "./pipeline/snapshot.ts";
import { createStreamWatch } from "./pipeline/stream-watch.ts";
import { startDemoUpstream, type DemoUpstream } from "./providers/demo/upstream.ts";
import { createBetaMemory } from "./routing/beta-memory.ts";
import { createRoutingState, modelOf, targetOf } from "./routing/state.ts";
import { createLimiter } from "./limits/limiter.ts";
import { createDispatch, type Readiness } from "./server/dispatch.ts";
import { listen, type Listener } from "./server/http.ts";
import { createRouter } from "./server/route-table.ts";
import { createRoutes } from "./server/routes.ts";
import { shutDown } from "./server/shutdown.ts";
import { openSqliteStores } from "./store/sqlite/open.ts";
import type { Stores } from "./store/stores.ts";
import { createLogSink } from "./telemetry/log-sink.ts";
import { createLog, type Log } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";

/** What `serve` was told. */
export interface GatewayOptions extends ConfigSource {
  readonly dataDir: string;
  readonly clock?: Clock;
}

/** A gateway that serves. */
export interface Gateway {
  readonly url: string;
  readonly metricsUrl: string | undefined;
  /** In force now. */
  readonly config: GatewayConfig;
  /** Keys that have to be shown, each once. */
  readonly firstStart: FirstStart;
  /** Reads the configuration again, and puts it in force if it is valid; says how it went in the log. */
  reload(): ReturnType<Reload["reload"]>;
  /**
   * Stops taking work, lets running requests finish within the drain time, settles what is left, closes the store.
   *
   * @param drainMs overrides the configuration's drain time
   */
  close(drainMs?: number): Promise<void>;
}

/** The configuration or the surroundings do not allow a start. `notices` names every fault with its place. */
export class StartupError extends Error {
  readonly notices: readonly ConfigNotice[];
  /** 78 (`EX_CONFIG`) for faults of the configuration, else 1. */
  readonly exitCode: number;

  constructor(message: string, notices: readonly ConfigNotice[] = [], exitCode = notices.length > 0 ? 78 : 1) {
    super(message);
    this.name = "StartupError";
    this.notices = notices;
    this.exitCode = exitCode;
  }
}

/** @throws StartupError when the configuration is not valid, the store is in use or broken, or the port is taken */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const clock = options.clock ?? systemClock;
  const reading = readConfig(options);
  if (!reading.ok) throw new StartupError(`${options.configPath ?? "the configuration"} is not valid`, reading.errors);
  if (reading.hostFault !== undefined) throw new StartupError(reading.hostFault, [], 78);
  makeDataFolder(options.dataDir);
  const closers: (() => Promise<void> | void)[] = [];
  try {
    return await assemble(options, reading, clock, closers);
  } catch (fault) {
    await closeAll(closers).catch(() => undefined);
    if (fault instanceof StartupError) throw fault;
    throw new StartupError(fault instanceof Error ? fault.message : String(fault));
  }
}

function makeDataFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (fault) {
    const code = fault instanceof Error && "code" in fault ? String(fault.code) : "unknown reason";
    throw new StartupError(code === "EEXIST" || code === "ENOTDIR" ? `the data folder ${path} is a file, or lies below one; choose another with --data-dir` : `the data folder ${path} cannot be made (${code}); choose another with --data-dir`);
  }
}

async function assemble(options: GatewayOptions, { config, files }: ConfigReading & { readonly ok: true }, clock: Clock, closers: (() => Promise<void> | void)[]): Promise<Gateway> {
  /** Undefined until everything that it is made of is there. */
  let snapshot: Snapshot | undefined;
  const inForce = (): GatewayConfig => snapshot?.config ?? config;
  const log = createLog(config.logging, createLogSink(1, clock), clock);
  const metrics = createMetrics();
  for (const warning of config.warnings) log.warn({ file: warning.file, line: warning.line, path: warning.path }, warning.message);

  const outage = createOutage({ budgets: () => inForce().budgets, unbudgetedMs: config.store.spill.unbudgetedMs, clock, log });
  const spill = { path: config.store.spill.path ?? join(options.dataDir, "spill.jsonl"), allowance: outage.allowance };
  const stores = await openSqliteStores({ path: config.store.path ?? join(options.dataDir, "tollgate.db"), sync: config.store.sync, clock, onDegraded: degradationNotes(log, clock), spill });
  closers.push(() => stores.close());
  outage.noteReplay(stores.replayed);
  if (stores.recoveredAttempts > 0) log.warn({ attempts: stores.recoveredAttempts }, "attempts left open by a crash are now unresolved");

  const terms = createKeyTermsBook(await stores.keyTerms.load());
  const index = createKeyIndex(terms);
  index.load(await stores.keys.loadAll(clock.now()));
  const priceBook = loadPriceBook();
  await repriceOld(stores.usage, priceBook, config, clock.now());
  const managed = await stores.budgets.load();
  const { true: overruled = [], false: managedInForce = [] } = Object.groupBy(managed, (each) => (isOverruled(each, config.budgets) ? "true" : "false"));
  for (const { id, scope } of overruled) log.warn({ budget: id, scope }, "this budget was set while the gateway ran; it rests, since the configuration has one for its scope");
  const ledger = await startLedger({ budgets: config.budgets, keys: index.keys().map((key) => terms.effective(key)), managed: managedInForce.map(budgetOf), usage: stores.usage, userBudget: config.spending.userBudget, nowMs: clock.now() });
  outage.follow(ledger);
  const onKeys = (keys: readonly KeyRecord[]): Promise<void> => followKeys(ledger, keys.map((key) => terms.effective(key)), stores.usage, clock.now());
  const keyService = createKeyService({ store: stores.keys, index, usage: stores.usage, clock, terms, onKey: (key) => onKeys([key]) });
  const keyTerms = createKeyTermsService({ store: stores.keyTerms, book: terms, index, changes: keyService.changes, onKeys, clock });
  const keyFiles = keyFolder(options.dataDir);
  const firstStart = await firstKeys({ files: keyFiles, admin: config.admin, appendAudit: (records) => stores.audit.append(records), index, keyService, clock });
  const adminKeyInFolder = keyFiles.read("admin-key");
  if (firstStart.isAdminKeyFileStale) log.warn({ path: join(options.dataDir, "admin-key") }, "this admin key is not in force: the configuration names another");
  let ownAuthenticator = createAuthenticator({ index, keyHeader: config.keyHeader });
  const authenticator: Authenticator = { authenticate: (headers, nowMs) => ownAuthenticator.authenticate(headers, nowMs) };

  const network = networkOf(config);
  const egress = createEgress(network, clock);
  const { dialer } = egress;
  closers.push(() => dialer.close());
  const runtime = createCredentialRuntime(clock, options.env, dialer);
  let demo: DemoUpstream | undefined;
  closers.push(() => demo?.close());
  const make = async (from: GatewayConfig): Promise<Snapshot> => {
    demo ??= await startDemo(from);
    return makeSnapshot(from, snapshot, { priceBook, runtime, demoUrl: demo?.url });
  };
  const first = (snapshot = await make(config));
  egress.follow(first, network);
  const snapshotNow = (): Snapshot => snapshot ?? first;
  const watch = createStreamWatch(clock);
  closers.push(() => watch.close());
  const refusals = createRefusalLog({ clock, append: (records) => stores.audit.append(records) });
  closers.push(() => refusals.close());

  const services: Services = { clock, authenticator, books: stores.books, ledger, estimates: createEstimates(clock), limiter: createLimiter(), dialer, watch, refusals, betaMemory: createBetaMemory(clock), routing: createRoutingState(clock, { get retryBudget() { return inForce().routing.retryBudget; } }, systemRandom), log, metrics, load: { inFlight: 0, total: 0, byKey: new Map() } };
  const quiet = collectWhenQuiet(services.load, clock, exposedCollector());
  closers.push(() => quiet.cancel());
  const applyBudgets = (scope: Scope, budgets: readonly Budget[]): Promise<void> => followScope(ledger, scope, budgets, { usage: stores.usage, nowMs: clock.now() });
  const budgets = createManagedBudgets({ store: stores.budgets, configured: () => inForce().budgets, configPath: config.source.path, apply: applyBudgets, faultOf: (budget) => downgradeFaultOf(budget, inForce()) }, managed);
  const reconcilePrices = createReconcilePrices(priceBook, inForce);
  const simulated = new Set(simulatedProviders(config));
  const swap = (next: Snapshot): void => {
    const moved = movedTargets(snapshotNow(), next);
    services.routing.health.forget((key) => moved.has(targetOf(key)));
    snapshot = next;
    log.configure(next.config.logging);
    ownAuthenticator = createAuthenticator({ index, keyHeader: next.config.keyHeader });
    const key = next.config.admin.key ?? adminKeyInFolder;
    if (key !== undefined) index.setAdmin(hashKey(key), next.config.admin.mayInfer);
    for (const name of simulatedProviders(next.config)) simulated.add(name);
  };
  const reload = createReload({
    read: () => readConfig(options),
    filesAtStart: files,
    inForce,
    facts: () => ({ mayFailOpen: outage.allowance !== undefined, hasAdminKeyFile: adminKeyInFolder !== undefined }),
    apply: createApply({ snapshot: snapshotNow, make, swap, egress, ledger, managed: budgets, usage: stores.usage, clock }),
    appendAudit: (records) => stores.audit.append(records),
    clock,
    log,
  });
  closers.push(() => reload.close());
  const routing: RoutingView = { explain: (principal, question) => explainRoute(services, snapshotNow(), principal, question), circuits: () => services.routing.health.states() };
  noteCircuits(services);
  const adminRoutes = createAdminRoutes({ routing, keys: keyService, index, usage: stores.usage, ledger, budgets, terms: keyTerms, reconcile: { store: stores.reconcile, audit: stores.audit, prices: reconcilePrices }, config: reload, gatewaySecret: gatewaySecret(options.dataDir), simulated });
  const budgetsInForce = (): readonly Budget[] => [...inForce().budgets, ...ledger.balances(clock.now()).map(({ budget }) => budget)];
  stores.upkeep.start({ retentionMs: config.store.usageRetentionMs, neededSinceMs: () => neededSince(budgetsInForce(), clock.now()), get reconcilable() { return reconcilePrices.providers; } });
  const checks = startTargetChecks(services, snapshotNow);
  closers.push(() => checks.cancel());
  const warnings = startWarnings({ ledger, store: stores.warnings, webhook: () => inForce().webhook, dialer, clock, log });
  closers.push(() => warnings.cancel());
  const drain = { isDraining: false };
  const dispatch = createDispatch({
    services,
    router: createRouter(createRoutes(adminRoutes)),
    snapshot: snapshotNow,
    readiness: createReadiness(stores, clock, outage),
    isDraining: () => drain.isDraining,
    isConfigStale: () => reload.status().isFailed,
  });
  connectMetrics({ services, stores, outage, reload }, closers);

  const listener = await listen(config.listen, dispatch, { clock, onTlsReload: (fault) => noteTlsReload(log, fault) });
  closers.push(() => endListener(listener));
  const metricsListener = config.metrics === undefined ? undefined : await listenForMetrics(config.metrics, services);
  if (metricsListener !== undefined) closers.push(() => endListener(metricsListener));
  log.info({ url: listener.url, config: config.source.kind }, "listening");
  const stop = async (drainMs: number): Promise<void> => {
    const left = await shutDown({ listener, clock, drainMs, inFlight: () => services.load.inFlight, endAll: (fault) => watch.endAll(fault) });
    if (left > 0) log.error({ requests: left }, "requests did not end although they were cut; their attempts will be unresolved");
    try {
      await closeAll(closers);
      log.info({}, "stopped");
    } finally {
      log.flush();
    }
  };
  let closing: Promise<void> | undefined;
  return {
    url: listener.url,
    metricsUrl: metricsListener?.url,
    get config() {
      return inForce();
    },
    firstStart,
    reload: () => reload.reload(),
    close(drainMs = inForce().timeouts.drainMs) {
      drain.isDraining = true;
      closing ??= stop(drainMs);
      return closing;
    },
  };
}

const readinessMs = 1_000;

/** One look at the store a second at the most, however many probes ask: each look is a commit. */
function createReadiness(stores: Stores, clock: Clock, outage: Outage): () => Promise<Readiness> {
  let askedAt: number | undefined;
  let answer: Promise<Readiness> = Promise.resolve({ isReady: true, hasStore: true });
  return () => {
    const now = clock.monotonic();
    if (askedAt === undefined || now - askedAt >= readinessMs) {
      askedAt = now;
      answer = stores.probe().then(
        () => ({ isReady: true, hasStore: true }),
        () => ({ isReady: outage.allowance !== undefined && outage.mayFailOpen(), hasStore: false }),
      );
    }
    return answer;
  };
}

/** The name that a start without a configuration gives it counts as well: its rows stay in the ledger when a real provider comes. */
function simulatedProviders({ providers: configured }: GatewayConfig): ReadonlySet<string> {
  const names = [...configured.values()].filter(({ kind }) => kind === "demo").map(({ name }) => name);
  return new Set(configured.has("demo") ? names : ["demo", ...names]);
}

async function startDemo(config: GatewayConfig): Promise<DemoUpstream | undefined> {
  return [...config.providers.values()].some(({ kind }) => kind === "demo") ? await startDemoUpstream() : undefined;
}

function connectMetrics({ services, stores, outage, reload }: { readonly services: Services; readonly stores: Stores; readonly outage: Outage; readonly reload: Reload }, closers: (() => void)[]): void {
  const lag = monitorEventLoopDelay({ resolution: 20 });
  lag.enable();
  closers.push(() => void lag.disable());
  services.metrics.connect({
    journalDepth: () => stores.books.depth(),
    unresolvedAttempts: () => stores.usage.unresolvedCount(),
    failOpenAttempts: () => outage.attempts(),
    isFailingOpen: () => outage.isFailingOpen(),
    config: () => reload.status(),
    routing: () => ({
      circuits: services.routing.health.states().flatMap(({ key, state }) => (state === "closed" ? [] : [{ target: targetOf(key), state }])),
      openings: services.routing.openings,
      retryTokens: services.routing.retryBudget.left(),
    }),
    requestsInFlight: () => services.load.inFlight,
    loopLagSeconds() {
      // The histogram counts its own resolution as delay.
      const seconds = Math.max(0, lag.mean / 1e9 - 0.02);
      lag.reset();
      return Number.isFinite(seconds) ? seconds : 0;
    },
  });
}

/** A line when a target is left alone, and one when it is well again. */
function noteCircuits({ routing: { health }, log }: Pick<Services, "routing" | "log">): void {
  health.onOpen((key) => {
    const view = health.states().find((each) => each.key === key);
    log.warn({ targetId: targetOf(key), model: modelOf(key), failure: view?.lastFailure, failuresInRow: view?.failuresInRow, forMs: Math.round(view?.opensInMs ?? 0) }, "this target is left alone for a while");
  });
  health.onClose((key) => log.info({ targetId: targetOf(key), model: modelOf(key) }, "this target is well again"));
}

async function listenForMetrics(own: { host: string; port: number }, services: Services): Promise<Listener> {
  // The word in front tells this listener from the other when it cannot start.
  const named = (fault: unknown): never => {
    throw new StartupError(`metrics: ${fault instanceof Error ? fault.message : String(fault)}`);
  };
  return listen(
    { host: own.host, port: own.port, isPublic: false, tls: undefined, trustedProxies: [] },
    (request, response) => {
      if (request.method !== "GET" || request.url?.split("?", 1)[0] !== "/metrics") return void response.writeHead(404).end();
      void services.metrics.render().then(({ contentType, text }) => response.writeHead(200, { "content-type": contentType }).end(text));
    },
    { clock: services.clock, onTlsReload: () => {} },
  ).catch(named);
}

/** A fault that lasts comes again and again; one line a minute tells as much. */
function degradationNotes(log: Log, clock: Clock): (fault: GatewayError) => void {
  let last = "";
  let notedAt = -Infinity;
  return ({ details, message }) => {
    const internal = details.internal ?? message;
    if (internal === last && clock.monotonic() - notedAt < 60_000) return;
    last = internal;
    notedAt = clock.monotonic();
    log.error({ internal }, "the store degrades");
  };
}

function noteTlsReload(log: Log, fault: string | undefined): void {
  if (fault === undefined) log.info({}, "TLS files changed; new connections get the new certificate");
  else log.error({ internal: fault }, "TLS files changed but cannot be used; the old certificate stays");
}

/** Newest first. All are tried; the first fault is thrown at the end. */
async function closeAll(closers: readonly (() => Promise<void> | void)[]): Promise<void> {
  const faults: unknown[] = [];
  for (const close of closers.toReversed()) {
    try {
      await close();
    } catch (fault) {
      faults.push(fault);
    }
  }
  if (faults.length > 0) throw faults[0];
}

async function endListener(listener: Listener): Promise<void> {
  const closed = listener.close();
  listener.closeNow();
  await closed;
}

function downgradeFaultOf(budget: Budget, config: GatewayConfig): string | undefined {
  const fault = downgradeFaults([budget], config).get(0);
  return fault === undefined ? undefined : `downgrade: ${fault}.`;
}
