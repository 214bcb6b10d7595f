/**
 * The balances of one ledger, by budget, window and scope. Scopes that operators name are few and stay. Clients name the others, and
 * there is no end of them: what holds nothing and has counted nothing goes at once, what counts no more goes when there are many, and
 * of sessions and runs only those in use stay, since what they have spent can be read from the attempts' rows again.
 */
import { Balance } from "./balance.ts";
import { kindBoundBy, type Binding, type Budget } from "./budget.ts";
import { kindOf, type Scope, type ScopeKind } from "./scope.ts";

/** Kinds of which a client makes as many as it likes. */
const clientKinds: ReadonlySet<ScopeKind> = new Set(["end_user", "model", "key_model", "team_model", "tag", "project", "session", "run"]);
/** Balances of scopes that clients name, above which those that count no more are looked for. */
const sweepFirstAt = 10_000;
/** Balances in use that are passed over for one new one, at most. */
const passesMax = 16;
/** A clock that is set back by this much finds what was spent in the windows it comes back to. */
const clockSlackMs = 86_400_000;

/** Whether what scopes of a kind have spent is read from the rows when it is asked for, instead of at the start. */
export function isRecalledKind(kind: ScopeKind): boolean {
  return kind === "session" || kind === "run";
}

export function isRecalled(scope: Scope): boolean {
  return isRecalledKind(kindOf(scope));
}

/** What is kept under one budget's id and window. */
interface Shelf {
  readonly key: string;
  readonly isRecalled: boolean;
  readonly isOfClients: boolean;
  /** Empty where it is recalled: those of all budgets lie together. */
  readonly byScope: Map<Scope, Balance>;
}

export class Balances {
  /** By id and window; a budget that gets another window begins new balances. */
  readonly #shelves = new Map<string, Shelf>();
  /** The same by budget, so that no text has to be put together for a call. */
  #shelfOf = new WeakMap<Budget, Shelf>();
  /** Of sessions and runs, the one used longest ago first. */
  readonly #recalled = new Map<string, Balance>();
  readonly #recalledMax: number;
  /** On shelves of clients' scopes. */
  #clientCount = 0;
  #sweepAt = sweepFirstAt;

  /** @param recalledMax balances of sessions and runs that stay though no call of theirs runs, ≥ 0 */
  constructor(recalledMax: number) {
    this.#recalledMax = recalledMax;
  }

  /** One for each budget and scope, made where there is none. */
  of(binding: Binding, nowMs: number): Balance {
    const shelf = this.#shelfFor(binding.budget);
    if (shelf.isRecalled) return this.#recall(shelf, binding);
    const known = shelf.byScope.get(binding.scope);
    if (known !== undefined) {
      known.budget = binding.budget;
      return known;
    }
    const balance = new Balance(binding);
    shelf.byScope.set(binding.scope, balance);
    if (shelf.isOfClients && ++this.#clientCount > this.#sweepAt) this.#sweep(nowMs);
    return balance;
  }

  /** To look at: a scope that nobody has spent under gets none by that. */
  peek(binding: Binding): Balance {
    return this.#find(binding) ?? new Balance(binding);
  }

  has(binding: Binding): boolean {
    return this.#find(binding) !== undefined;
  }

  *values(): Iterable<Balance> {
    for (const { byScope } of this.#shelves.values()) yield* byScope.values();
    yield* this.#recalled.values();
  }

  /** Forgets balances, whatever they have counted. */
  drop(isDropped: (balance: Balance) => boolean): void {
    for (const shelf of this.#shelves.values()) for (const balance of shelf.byScope.values()) if (isDropped(balance)) this.#remove(shelf, balance);
    for (const [id, balance] of this.#recalled) if (isDropped(balance)) this.#recalled.delete(id);
  }

  /** Forgets everything but the sessions and runs named, also what kind of scope a budget of some id had. */
  reset(isKept: (recalled: Balance) => boolean): void {
    this.drop((balance) => !isRecalled(balance.scope) || !isKept(balance));
    this.#shelves.clear();
    this.#shelfOf = new WeakMap();
  }

  /** Call when a call has ended that cost nothing: a name that a client made up must not stay. */
  released(balance: Balance): void {
    const shelf = this.#shelfFor(balance.budget);
    if (shelf.isOfClients && balance.isEmpty() && shelf.byScope.get(balance.scope) === balance) this.#remove(shelf, balance);
  }

  #find({ budget, scope }: Binding): Balance | undefined {
    const shelf = this.#shelfFor(budget);
    return shelf.isRecalled ? this.#recalled.get(`${shelf.key} ${scope}`) : shelf.byScope.get(scope);
  }

  #shelfFor(budget: Budget): Shelf {
    const known = this.#shelfOf.get(budget);
    if (known !== undefined) return known;
    const key = `${budget.id} ${budget.window.key}`;
    const kind = kindBoundBy(budget);
    const shelf = this.#shelves.get(key) ?? { key, isRecalled: isRecalledKind(kind), isOfClients: clientKinds.has(kind), byScope: new Map<Scope, Balance>() };
    this.#shelves.set(key, shelf);
    this.#shelfOf.set(budget, shelf);
    return shelf;
  }

  #recall({ key }: Shelf, binding: Binding): Balance {
    const id = `${key} ${binding.scope}`;
    const known = this.#recalled.get(id);
    const balance = known ?? new Balance(binding);
    balance.budget = binding.budget;
    this.#recalled.delete(id);
    this.#recalled.set(id, balance);
    if (known === undefined) this.#makeRoomBeside(balance);
    return balance;
  }

  #makeRoomBeside(added: Balance): void {
    let passes = 0;
    for (const [id, balance] of this.#recalled) {
      if (this.#recalled.size <= this.#recalledMax || passes++ === passesMax) return;
      this.#recalled.delete(id);
      if (balance === added || balance.isRunning()) this.#recalled.set(id, balance);
    }
  }

  #sweep(nowMs: number): void {
    const atMs = Math.max(0, nowMs - clockSlackMs);
    for (const shelf of this.#shelves.values()) if (shelf.isOfClients) for (const balance of shelf.byScope.values()) if (balance.isIdle(atMs)) this.#remove(shelf, balance);
    this.#sweepAt = Math.max(sweepFirstAt, this.#clientCount * 2);
  }

  #remove(shelf: Shelf, { scope }: Balance): void {
    if (shelf.byScope.delete(scope) && shelf.isOfClients) this.#clientCount--;
  }
}
