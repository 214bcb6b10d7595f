/** Runs one seed to its end and tells everything that was not as promised. */
import type { KeyRecord } from "../../src/identity/key-store.ts";
import { keyBudgets } from "../../src/ledger/key-budget.ts";
import { createBudgetBook } from "../../src/ledger/budget.ts";
import { createLedger, type BalanceState, type Spent } from "../../src/ledger/ledger.ts";
import type { Scope } from "../../src/ledger/scope.ts";
import { createRequest, SimulatedResponse, type CallOptions } from "./client.ts";
import { endedRows, openSql, origins, startLife, type FaultySql, type Life } from "./gateway.ts";
import { NaiveLedger, type Allowances } from "./naive-ledger.ts";
import { compareWithBill } from "./bill-check.ts";
import type { Random } from "./random.ts";
import { answerFor, createScenario, type Accident, type Agent, type Scenario } from "./scenario.ts";
import { SimulatedTime } from "./time.ts";
import { costOf, createUpstream, type Upstream } from "./upstream.ts";

/** What one run came to. */
export interface Outcome {
  /** Empty when every promise was kept. */
  readonly objections: readonly string[];
  readonly calls: number;
  readonly attempts: number;
  readonly refusals: number;
  readonly deaths: number;
  readonly cuts: number;
  readonly unresolved: number;
  readonly commits: number;
  /** In the last process: the most that any budget came to beyond its amount and its overrun. */
  readonly overMostNanoUsd: { readonly strict: bigint; readonly incremental: bigint };
  /** Calls of which at least one attempt was let through. */
  readonly admitted: number;
  readonly billedNanoUsd: bigint;
  /** At the end; of scopes that have a budget. */
  readonly balances: readonly BalanceState[];
  /** The most that any scope ever held under a budget, in the last process. */
  readonly heldMostNanoUsd: bigint;
  /** In the last process: the least that had been spent and was held under a budget when it refused a call. */
  readonly usedAtRefusalLeastNanoUsd: bigint | undefined;
}

/** More of one kind say nothing more. */
const objectionsMax = 12;

export async function runSeed(seed: number): Promise<Outcome> {
  const { scenario, random } = createScenario(seed);
  return runScenario(scenario, random);
}

export function runScenario(scenario: Scenario, random: Random): Promise<Outcome> {
  return new World(scenario, random).run();
}

class World {
  readonly #scenario: Scenario;
  readonly #random: Random;
  readonly #time: SimulatedTime;
  readonly #upstream: Upstream;
  readonly #sql: FaultySql;
  readonly #keys = new Map<string, KeyRecord>();
  readonly #allowances: Allowances = new Map();
  readonly #objections: string[] = [];
  readonly #responses = new Map<SimulatedResponse, CallOptions>();
  readonly #whole = new Set<string>();
  #life: Life | undefined;
  #naive: NaiveLedger | undefined;
  /** A commit was reported as failed and had happened: its openings stay, of calls that were refused, until a start finds them. */
  #hadLateFailure = false;
  #commits = 0;
  #calls = 0;
  #deaths = 0;
  #refusals = 0;
  #events = 0;
  /** What the store does at its next commit. */
  #fate: Accident | undefined;

  constructor(scenario: Scenario, random: Random) {
    this.#scenario = scenario;
    this.#random = random;
    this.#time = new SimulatedTime(scenario.startMs, random);
    this.#sql = openSql(scenario.startMs);
    this.#upstream = createUpstream({ time: this.#time, random, weather: scenario.weather, answer: (marker) => answerFor(marker, scenario), providers: origins });
    for (const [index, key] of scenario.keys.entries()) this.#keys.set(`sk-${index}`, key);
    this.#sql.fate = () => this.#fateOfCommit();
  }

  async run(): Promise<Outcome> {
    const { scenario } = this;
    const giveBack = this.#time.takeOver();
    try {
      await this.#start();
      for (const agent of scenario.agents) this.#time.after(agent.startsAtMs, () => this.#turn(agent, 0));
      for (const { atMs, act } of scenario.operations) this.#time.after(atMs, () => this.#operate(act));
      for (const { atMs, kind, forMs } of scenario.accidents) this.#time.after(atMs, () => this.#strike(kind, forMs));
      const watch = (): void => this.#look();
      await this.#time.run(scenario.durationMs, watch);
      await this.#settleDown(watch);
      return await this.#judge();
    } finally {
      giveBack();
    }
  }

  get scenario(): Scenario {
    return this.#scenario;
  }

  /** A process starts from the rows, as often as it takes for the store to let it. */
  async #start(): Promise<void> {
    const { budgets } = this.#scenario;
    let naive: NaiveLedger | undefined;
    try {
      this.#life = await startLife({
        time: this.#time,
        sql: this.#sql,
        upstream: this.#upstream,
        budgets,
        keys: this.#keys,
        onFault: (text) => this.#object(text),
        watchLedger: (ledger) => {
          naive = new NaiveLedger({ budgets, own: this.#ownBudgets(), rows: () => endedRows(this.#sql), allowances: this.#allowances, nowMs: () => this.#time.now(), object: (text) => this.#object(text) });
          naive.compare(ledger, "at the start");
          return naive.watch(ledger);
        },
      });
      this.#naive = naive;
    } catch {
      this.#time.after(500, () => void this.#start());
    }
  }

  #ownBudgets(): ReadonlyMap<Scope, ReturnType<typeof keyBudgets>> {
    return new Map([...this.#keys.values()].filter(({ revokedAtMs }) => revokedAtMs === null).map((key) => [`key:${key.id}` as Scope, keyBudgets(key)]));
  }

  #object(text: string): void {
    if (this.#objections.length < objectionsMax) this.#objections.push(`${Math.round(this.#time.elapsedMs)} ms: ${text}`);
  }

  /** After each event; the whole comparison now and then. */
  #look(): void {
    if (++this.#events % 64 === 0 && this.#life !== undefined) this.#naive?.compare(this.#life.ledger, "on the way");
  }

  /** One call of an agent, and the next when it has ended. */
  #turn(agent: Agent, done: number): void {
    if (done >= agent.turns || this.#time.elapsedMs > this.#scenario.durationMs) return;
    const again = (): void => void this.#time.after(agent.thinkMs * (0.5 + this.#random.next()), () => this.#turn(agent, done + 1));
    const life = this.#life;
    // Nobody listens: the client tries later.
    if (life === undefined) return void this.#time.after(500, () => this.#turn(agent, done));
    const call: CallOptions = {
      key: `sk-${agent.keyAt}`,
      marker: `call-${this.#calls++}`,
      sessionId: agent.sessionId,
      model: agent.model,
      isStreaming: this.#random.chance(agent.streamingShare),
      outputTokensMax: agent.outputTokensMax,
      bodyBytes: agent.bodyBytes + Math.min(done, 20) * 500,
    };
    const response = new SimulatedResponse(() => {
      this.#responses.delete(response);
      if (response.isWhole) this.#whole.add(call.marker);
      again();
    });
    this.#responses.set(response, call);
    if (this.#random.chance(agent.leavingShare)) this.#time.after(this.#random.next() * 8_000, () => response.destroy());
    life.serve(createRequest(call), response);
  }

  #operate(act: Scenario["operations"][number]["act"]): void {
    if (act.kind === "jump") return void (this.#time.wallOffsetMs += act.byMs);
    // A change is written first, and is none where that fails.
    if (this.#fate !== undefined) return;
    const secret = `sk-${act.keyAt}`;
    const before = this.#keys.get(secret)!;
    const after = act.kind === "revoke" ? { ...before, revokedAtMs: this.#time.now() } : { ...before, maxBudgetUsd: act.maxBudgetUsd, budgetDuration: act.budgetDuration };
    if (before.revokedAtMs !== null) return;
    this.#keys.set(secret, after);
    const life = this.#life;
    if (life !== undefined) void life.changeKey(after).catch((fault: unknown) => life.isAlive && this.#object(`a key's change: ${String(fault)}`));
  }

  #strike(kind: Accident, forMs: number): void {
    if (kind === "death") return this.#die();
    this.#fate = kind;
    if (kind.startsWith("store")) this.#time.after(forMs, () => void (this.#fate = undefined));
  }

  #fateOfCommit(): "fine" | "lost" | "late" {
    const { deathAtCommit } = this.#scenario;
    if (deathAtCommit?.index === this.#commits++) this.#fate = deathAtCommit.isAfter ? "death after a commit" : "death before a commit";
    switch (this.#fate) {
      case undefined:
      case "death":
        return "fine";
      case "store fails":
        return "lost";
      case "store fails late":
        this.#fate = "store fails";
        this.#hadLateFailure = true;
        return "late";
      case "death before a commit":
        this.#die();
        return "lost";
      case "death after a commit":
        this.#die();
        return "late";
    }
  }

  #die(): void {
    this.#fate = undefined;
    const life = this.#life;
    if (life === undefined) return;
    this.#deaths++;
    this.#refusals += this.#naive?.refusals ?? 0;
    life.isAlive = false;
    this.#life = undefined;
    this.#naive = undefined;
    this.#time.forgetTurn();
    this.#upstream.dropAll();
    const left = [...this.#responses.keys()];
    this.#responses.clear();
    this.#time.after(1, () => left.forEach((response) => response.destroy()));
    this.#time.after(200 + this.#random.next() * 2_000, () => void this.#start());
  }

  /** Everything under way comes to its end; then at most five seconds more. */
  async #settleDown(watch: () => void): Promise<void> {
    this.#fate = undefined;
    for (let seconds = 0; seconds < 4_000 && (this.#life === undefined || this.#responses.size > 0 || this.#upstream.inFlight() > 0); seconds += 10) {
      await this.#time.run(this.#time.elapsedMs + 10_000, watch);
    }
    await this.#time.run(this.#time.elapsedMs + 5_000, watch);
  }

  async #judge(): Promise<Outcome> {
    const life = this.#life;
    if (life === undefined) throw new Error("no gateway at the end");
    const { services, ledger, books, usage } = life;
    const nowMs = this.#time.now();
    this.#naive?.compare(ledger, "at the end");
    if (ledger.holds().length > 0) this.#object(`${ledger.holds().length} holds are left`);
    for (const { scope, held } of ledger.balances(nowMs)) if (held !== 0n) this.#object(`${scope} still holds ${held}`);
    if (services.load.inFlight !== 0) this.#object(`${services.load.inFlight} requests still count as in work`);
    if (services.watch.size() !== 0) this.#object(`${services.watch.size()} requests are still watched`);
    if (books.depth() !== 0) this.#object(`${books.depth()} writes still wait`);
    const rows = await usage.rows({}, 1_000_000);
    for (const text of compareWithBill(rows, this.#upstream.bill, { whole: this.#whole, mayStayOpen: this.#hadLateFailure })) this.#object(text);
    await this.#compareTotals(usage);
    await this.#compareOrder(life);
    return {
      objections: this.#objections,
      calls: this.#calls,
      attempts: rows.length,
      refusals: this.#refusals + (this.#naive?.refusals ?? 0),
      deaths: this.#deaths,
      cuts: rows.filter(({ outcome }) => outcome === "cut").length,
      unresolved: rows.filter(({ state }) => state === "unresolved").length,
      commits: this.#commits,
      overMostNanoUsd: this.#naive?.overMost ?? { strict: 0n, incremental: 0n },
      admitted: new Set(rows.map(({ requestClass }) => requestClass)).size,
      billedNanoUsd: this.#upstream.bill.reduce((sum, entry) => sum + costOf(entry), 0n),
      balances: ledger.balances(nowMs),
      heldMostNanoUsd: this.#naive?.heldMost ?? 0n,
      usedAtRefusalLeastNanoUsd: this.#naive?.usedAtRefusalLeast,
    };
  }

  /** The running totals of keys are the sums of their rows. */
  async #compareTotals(usage: Life["usage"]): Promise<void> {
    const totals = await usage.spendByKey([...this.#keys.values()].map(({ id }) => id));
    const rows = endedRows(this.#sql).filter(({ isUnresolved, payer }) => !isUnresolved && payer === "caller");
    for (const { id } of this.#keys.values()) {
      const sum = rows.reduce((so, { spender, amount }) => (spender.keyId === id ? so + amount : so), 0n);
      if ((totals.get(id) ?? 0n) !== sum) this.#object(`${id} has spent ${totals.get(id)} by its total, ${sum} by its rows`);
    }
  }

  /** The same rows in any order make the same balances as the ones that grew. */
  async #compareOrder({ ledger: grown, usage }: Life): Promise<void> {
    const nowMs = this.#time.now();
    const book = createBudgetBook(this.#scenario.budgets);
    for (const [scope, budgets] of this.#ownBudgets()) book.setOwn(scope, budgets);
    const again = createLedger(book);
    const bySession = createLedger(book);
    const sessions = new Set((await usage.rows({}, 1_000_000)).flatMap(({ sessionId }) => sessionId ?? []));
    const ofSessions = (await Promise.all([...sessions].map((sessionId) => usage.spentIn(sessionId, 0)))).flat();
    const shuffle = (all: readonly Spent[]): readonly Spent[] => all.map((spent) => ({ spent, at: this.#random.next() })).sort((a, b) => a.at - b.at).map(({ spent }) => spent);
    for (const spent of shuffle(await usage.spentSince(0, 1_000))) again.restore(spent);
    for (const spent of shuffle(ofSessions)) bySession.restore(spent);
    const known = new Map(grown.balances(nowMs).map((state) => [`${state.budget.id} ${state.budget.window.key} ${state.scope}`, state]));
    const isOfSession = ({ scope }: { readonly scope: string }): boolean => /^(?:session|run):/.test(scope);
    for (const { budget, scope, settled, estimated, unresolved } of [...again.balances(nowMs).filter((state) => !isOfSession(state)), ...bySession.balances(nowMs).filter(isOfSession)]) {
      // A session is known only once a call of it has come to this process.
      if (isOfSession({ scope }) && !known.has(`${budget.id} ${budget.window.key} ${scope}`)) continue;
      const own = known.get(`${budget.id} ${budget.window.key} ${scope}`);
      if (own === undefined ? settled !== 0n : own.settled !== settled || own.estimated !== estimated || own.unresolved !== unresolved) {
        this.#object(`${scope} under ${budget.id}: ${own?.settled}/${own?.estimated}/${own?.unresolved} grown, ${settled}/${estimated}/${unresolved} from the rows in another order`);
      }
    }
  }
}
