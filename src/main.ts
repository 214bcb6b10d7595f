/**
 * The composition root: configuration → stores → services → servers. The only file that knows every room; nothing but the
 * command line's `serve` imports it.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { getCACertificates } from "node:tls";
import { firstKeys, type FirstStart } from "./admin/first-keys.ts";
import type { Budget } from "./ledger/budget.ts";
import type { Scope } from "./ledger/scope.ts";
import { followKeys, followScope, startLedger } from "./ledger/start-ledger.ts";
import type { KeyRecord } from "./identity/key-store.ts";
import { createEstimates } from "./pipeline/estimator.ts";
import { createKeyTermsService } from "./admin/key-terms.ts";
import { createKeyService } from "./admin/keys.ts";
import { budgetOf, createManagedBudgets, isOverruled } from "./admin/managed-budgets.ts";
import { createAdminRoutes } from "./admin/routes.ts";
import { createRefusalLog } from "./audit/refusals.ts";
import { downgradeFaults } from "./config/checks.ts";
import type { GatewayConfig, ConfigNotice } from "./config/gateway-config.ts";
import { defaultConfig, loadConfig } from "./config/load.ts";
import { createDialer, type Dialer } from "./egress/dialer.ts";
import { createAuthenticator } from "./identity/authenticate.ts";
import { createKeyIndex } from "./identity/key-index.ts";
import { createKeyTermsBook } from "./identity/key-terms.ts";
import { systemClock, type Clock } from "./kernel/clock.ts";
import type { GatewayError } from "./kernel/gateway-error.ts";
import { systemRandom } from "./kernel/random.ts";
import { createCredentialRuntime } from "./main/credential-runtime.ts";
import { startWarnings } from "./main/warnings.ts";
import { collectWhenQuiet, exposedCollector } from "./main/idle-memory.ts";
import { gatewaySecret, keyFolder } from "./main/key-files.ts";
import { createOutage, type Outage } from "./main/outage.ts";
import { createReconcilePrices, repriceOld } from "./main/prices.ts";
import { loadPriceBook } from "./metering/price-book.ts";
import type { Services } from "./pipeline/services.ts";
import type { CredentialRuntime } from "./credentials/runtime.ts";
import type { Place, Snapshot } from "./pipeline/snapshot.ts";
import { createStreamWatch } from "./pipeline/stream-watch.ts";
import { startDemoUpstream, type DemoUpstream } from "./providers/demo/upstream.ts";
import { clientLoginKinds, providers } from "./providers/registry.ts";
import { createBetaMemory } from "./routing/beta-memory.ts";
import { createRoutingState } from "./routing/state.ts";
import { createLimitRules } from "./limits/limit-rules.ts";
import { createLimiter } from "./limits/limiter.ts";
import { claudeNameOf, createRouteTable, type RouteTable } from "./routing/route.ts";
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
export interface GatewayOptions {
  /** Absent: a configuration is made from the environment. */
  readonly configPath?: string;
  /** Override the file's `listen`. */
  readonly host?: string;
  readonly port?: number;
  readonly dataDir: string;
  /** Allows a weak admin key on loopback. */
  readonly insecureDevKey: boolean;
  /** LiteLLM keys that restrict and are knowingly not enforced. */
  readonly acceptUnenforced: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock?: Clock;
}

/** A gateway that serves. */
export interface Gateway {
  readonly url: string;
  readonly metricsUrl: string | undefined;
  readonly config: GatewayConfig;
  /** Keys that have to be shown, each once. */
  readonly firstStart: FirstStart;
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
  const config = readConfig(options);
  makeDataFolder(options.dataDir);
  const closers: (() => Promise<void> | void)[] = [];
  try {
    return await assemble(options, config, clock, closers);
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

async function assemble(options: GatewayOptions, config: GatewayConfig, clock: Clock, closers: (() => Promise<void> | void)[]): Promise<Gateway> {
  const log = createLog(config.logging, createLogSink(1, clock), clock);
  const metrics = createMetrics();
  for (const warning of config.warnings) log.warn({ file: warning.file, line: warning.line, path: warning.path }, warning.message);

  const outage = createOutage({ budgets: config.budgets, unbudgetedMs: config.store.spill.unbudgetedMs, clock, log });
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
  const { true: overruled = [], false: inForce = [] } = Object.groupBy(managed, (each) => (isOverruled(each, config.budgets) ? "true" : "false"));
  for (const { id, scope } of overruled) log.warn({ budget: id, scope }, "this budget was set while the gateway ran; it rests, since the configuration has one for its scope");
  const ledger = await startLedger({ budgets: config.budgets, keys: index.keys().map((key) => terms.effective(key)), managed: inForce.map(budgetOf), usage: stores.usage, userBudget: config.spending.userBudget, nowMs: clock.now() });
  outage.follow(ledger);
  const onKeys = (keys: readonly KeyRecord[]): Promise<void> => followKeys(ledger, keys.map((key) => terms.effective(key)), stores.usage, clock.now());
  const keyService = createKeyService({ store: stores.keys, index, usage: stores.usage, clock, terms, onKey: (key) => onKeys([key]) });
  const keyTerms = createKeyTermsService({ store: stores.keyTerms, book: terms, index, changes: keyService.changes, onKeys, clock });
  const firstStart = await firstKeys({ files: keyFolder(options.dataDir), admin: config.admin, appendAudit: (records) => stores.audit.append(records), index, keyService, clock });
  if (firstStart.isAdminKeyFileStale) log.warn({ path: join(options.dataDir, "admin-key") }, "this admin key is not in force: the configuration names another");
  const authenticator = createAuthenticator({ index, keyHeader: config.keyHeader });

  const demo = await startDemo(config);
  if (demo !== undefined) closers.push(() => demo.close());
  const places = new Map<string, Place>();
  const dialer = createEgress(config, places);
  closers.push(() => dialer.close());
  fillPlaces(places, config, demo, createCredentialRuntime(clock, options.env, dialer));
  const snapshot: Snapshot = { config, priceBook, places, routes: withLent(createRouteTable(config), config.lent), limitRules: createLimitRules(config.rateLimits.rules) };
  const watch = createStreamWatch(clock);
  closers.push(() => watch.close());
  const refusals = createRefusalLog({ clock, append: (records) => stores.audit.append(records) });
  closers.push(() => refusals.close());

  const services: Services = { clock, authenticator, books: stores.books, ledger, estimates: createEstimates(clock), limiter: createLimiter(), dialer, watch, refusals, betaMemory: createBetaMemory(clock), routing: createRoutingState(clock, config.routing, systemRandom), log, metrics, load: { inFlight: 0, total: 0 } };
  const quiet = collectWhenQuiet(services.load, clock, exposedCollector());
  closers.push(() => quiet.cancel());
  const applyBudgets = (scope: Scope, budgets: readonly Budget[]): Promise<void> => followScope(ledger, scope, budgets, { usage: stores.usage, nowMs: clock.now() });
  const budgets = createManagedBudgets({ store: stores.budgets, configured: config.budgets, configPath: config.source.path, apply: applyBudgets, faultOf: (budget) => downgradeFaultOf(budget, config) }, managed);
  const adminRoutes = createAdminRoutes({ keys: keyService, index, usage: stores.usage, ledger, budgets, terms: keyTerms, reconcile: { store: stores.reconcile, audit: stores.audit, prices: createReconcilePrices(priceBook, config) }, gatewaySecret: gatewaySecret(options.dataDir), simulated: simulatedProviders(config) });
  const warnings = startWarnings({ ledger, store: stores.warnings, webhook: config.webhook, dialer, clock, log });
  closers.push(() => warnings.cancel());
  const drain = { isDraining: false };
  const dispatch = createDispatch({
    services,
    router: createRouter(createRoutes(adminRoutes)),
    snapshot: () => snapshot,
    readiness: createReadiness(stores, clock, outage),
    isDraining: () => drain.isDraining,
  });
  connectMetrics(services, stores, outage, closers);

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
    config,
    firstStart,
    close(drainMs = config.timeouts.drainMs) {
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

function readConfig(options: GatewayOptions): GatewayConfig {
  const { configPath } = options;
  const providerSchemas = new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));
  const result =
    configPath === undefined
      ? defaultConfig({ env: options.env, providerSchemas, accept: options.acceptUnenforced })
      : loadConfig({ path: configPath, env: options.env, readFile: (path) => readFileSync(path, "utf8"), providerSchemas, clientLoginKinds: clientLoginKinds(), accept: options.acceptUnenforced, allowInsecureDevKey: options.insecureDevKey });
  if (!result.ok) throw new StartupError(`${configPath ?? "the configuration"} is not valid`, result.errors);
  const { config } = result;
  const host = options.host ?? config.listen.host;
  if (host !== config.listen.host && !isLoopback(host) && !config.listen.isPublic) {
    throw new StartupError(`--host ${host} would listen beyond this machine; set listen.public: true in the configuration to mean it`, [], 78);
  }
  return { ...config, listen: { ...config.listen, host, port: options.port ?? config.listen.port } };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** The name that a start without a configuration gives it counts as well: its rows stay in the ledger when a real provider comes. */
function simulatedProviders({ providers: configured }: GatewayConfig): ReadonlySet<string> {
  const names = [...configured.values()].filter(({ kind }) => kind === "demo").map(({ name }) => name);
  return new Set(configured.has("demo") ? names : ["demo", ...names]);
}

async function startDemo(config: GatewayConfig): Promise<DemoUpstream | undefined> {
  return [...config.providers.values()].some(({ kind }) => kind === "demo") ? await startDemoUpstream() : undefined;
}

/** @param places filled after the dialer was made, since logins go through it */
function fillPlaces(places: Map<string, Place>, config: GatewayConfig, demo: DemoUpstream | undefined, runtime: CredentialRuntime): void {
  for (const { name, kind, settings } of config.providers.values()) {
    const provider = providers[kind];
    if (provider === undefined) throw new StartupError(`provider ${name}: there is no kind ${kind}`);
    const own = kind === "demo" && demo !== undefined ? provider.settings.parse({ base_url: demo.url }) : settings;
    places.set(name, { name, provider, settings: own, credentials: provider.login?.(own, runtime), destination: provider.destination(own) });
  }
}

/** Bedrock's ids and ARNs say whose they are; Vertex's are Anthropic's names, older ones with their date behind an `@`. */
function cloudOf(name: string): string {
  return /^arn:aws[a-z-]*:bedrock:|(?:^|\.)anthropic\.claude-/.test(name) ? "bedrock" : name.startsWith("claude-") ? "vertex" : "";
}

/** The routes with what is lent to clients that name models as their cloud does; rights go by that name, or by Anthropic's for it. */
function withLent(routes: RouteTable, lent: GatewayConfig["lent"]): RouteTable {
  if (lent.size === 0) return routes;
  const tables = new Map([...lent].map(([kind, model]) => [kind, createRouteTable({ models: [model], modelAliases: new Map() })]));
  return {
    ...routes,
    resolveCloudName(name, envelope) {
      const own = routes.resolveCloudName(name);
      const borrowed = own === undefined && cloudOf(name) === envelope ? tables.get(envelope)?.resolve(name) : undefined;
      return borrowed === undefined ? own : { ...borrowed, rightsNames: [name, claudeNameOf(name) ?? name] };
    },
  };
}

function createEgress({ egress, timeouts, webhook }: GatewayConfig, places: ReadonlyMap<string, Place>): Dialer {
  return createDialer({
    isConfigured: (origin) => (webhook !== undefined && new URL(webhook.url).origin === origin) || [...places.values()].some(({ provider, settings, destination }) => destination.origin === origin || provider.isOwnOrigin?.(origin, settings) === true),
    connectMs: timeouts.connectMs,
    proxy: egress.proxy,
    noProxy: egress.noProxy,
    certificates: egress.caFile === undefined ? undefined : [...getCACertificates("default"), ...getCACertificates("extra"), readFileSync(egress.caFile, "utf8")],
  });
}

function connectMetrics(services: Services, stores: Stores, outage: Outage, closers: (() => void)[]): void {
  const lag = monitorEventLoopDelay({ resolution: 20 });
  lag.enable();
  closers.push(() => void lag.disable());
  services.metrics.connect({
    journalDepth: () => stores.books.depth(),
    unresolvedAttempts: () => stores.usage.unresolvedCount(),
    failOpenAttempts: () => outage.attempts(),
    isFailingOpen: () => outage.isFailingOpen(),
    requestsInFlight: () => services.load.inFlight,
    loopLagSeconds() {
      // The histogram counts its own resolution as delay.
      const seconds = Math.max(0, lag.mean / 1e9 - 0.02);
      lag.reset();
      return Number.isFinite(seconds) ? seconds : 0;
    },
  });
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
