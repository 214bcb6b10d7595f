/**
 * The one SQL door (K5). Statements are tagged templates whose interpolations can only become bind parameters, so no text
 * from outside is ever part of a statement; a plain string does not type-check. Nothing else imports `node:sqlite`.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";

/** What may be bound. A whole `number` fits an INTEGER column; amounts of money go in as `bigint`. */
export type SqlValue = null | number | bigint | string;

/** One row of a result. Every INTEGER is a `bigint`, because a ledger sum may leave the safe range; `columns.ts` converts. */
export type SqlRow = Readonly<Record<string, null | number | bigint | string | Uint8Array>>;

const scriptMarker: unique symbol = Symbol("SqlScript");

/** Fixed statements without parameters: schema and settings. Only `sqlScript` makes one. */
export interface SqlScript {
  readonly [scriptMarker]: true;
  readonly text: string;
}

/** Takes a template without interpolations; one with them, or a plain string, does not type-check. */
export function sqlScript(strings: TemplateStringsArray): SqlScript {
  requireTemplate(strings);
  return { [scriptMarker]: true, text: strings[0]! };
}

/** How a connection is opened. */
export interface SqlOpenOptions {
  /** How long a statement waits for another connection's lock, in milliseconds; the thread stands still meanwhile. */
  readonly busyTimeoutMs: number;
  readonly isReadOnly?: boolean;
}

/** One connection with its prepared statements, one per place in the source. Every call is synchronous. */
export class SqlDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<TemplateStringsArray, StatementSync>();
  readonly #begin: StatementSync;
  readonly #beginRead: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollback: StatementSync;

  /**
   * @param path database file; its folder must exist
   * @throws Error of SQLite when the file cannot be opened
   */
  constructor(path: string, options: SqlOpenOptions) {
    this.#database = new DatabaseSync(path, {
      timeout: options.busyTimeoutMs,
      readOnly: options.isReadOnly ?? false,
      enableForeignKeyConstraints: true,
      enableDoubleQuotedStringLiterals: false,
    });
    // IMMEDIATE takes the write lock at once: a transaction that reads first and then writes could otherwise fail half-way.
    this.#begin = this.#database.prepare("BEGIN IMMEDIATE");
    this.#beginRead = this.#database.prepare("BEGIN DEFERRED");
    this.#commit = this.#database.prepare("COMMIT");
    this.#rollback = this.#database.prepare("ROLLBACK");
  }

  /** Runs a statement and gives the number of rows it changed. */
  run(strings: TemplateStringsArray, ...values: SqlValue[]): number {
    // Results of writes are counts only, so they stay numbers.
    return this.#statement(strings).run(...values).changes as number;
  }

  /** All rows of a query. */
  rows(strings: TemplateStringsArray, ...values: SqlValue[]): readonly SqlRow[] {
    return this.#reader(strings).all(...values) as unknown as readonly SqlRow[];
  }

  /** The first row of a query. */
  row(strings: TemplateStringsArray, ...values: SqlValue[]): SqlRow | undefined {
    return this.#reader(strings).get(...values) as SqlRow | undefined;
  }

  /** Runs fixed statements one after the other; rows they give are dropped. */
  script(script: SqlScript): void {
    this.#database.exec(script.text);
  }

  /**
   * Runs `action`, which must be synchronous, as one transaction: all of its writes are committed when this returns, none
   * when it throws.
   */
  transaction<Result>(action: () => Result): Result {
    return this.#within(this.#begin, action);
  }

  /** Runs `action`, which must be synchronous and only read, on one state of the file; other connections may write meanwhile. */
  read<Result>(action: () => Result): Result {
    return this.#within(this.#beginRead, action);
  }

  #within<Result>(begin: StatementSync, action: () => Result): Result {
    begin.run();
    try {
      const result = action();
      this.#commit.run();
      return result;
    } catch (error) {
      this.#undo();
      throw error;
    }
  }

  /** Takes and keeps the write lock of the file until the connection closes or the process dies, however it dies. */
  holdExclusively(): void {
    this.#database.exec("BEGIN EXCLUSIVE");
  }

  get isOpen(): boolean {
    return this.#database.isOpen;
  }

  /** Idempotent. */
  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  /** A full disk or an I/O error may have rolled back already; a rollback that fails changes nothing about the first error. */
  #undo(): void {
    try {
      if (this.#database.isOpen && this.#database.isTransaction) this.#rollback.run();
    } catch {
      // The next transaction's BEGIN reports it.
    }
  }

  #statement(strings: TemplateStringsArray): StatementSync {
    return this.#statements.get(strings) ?? this.#prepare(strings);
  }

  #reader(strings: TemplateStringsArray): StatementSync {
    const known = this.#statements.get(strings);
    if (known !== undefined) return known;
    const statement = this.#prepare(strings);
    statement.setReadBigInts(true);
    return statement;
  }

  #prepare(strings: TemplateStringsArray): StatementSync {
    requireTemplate(strings);
    const statement = this.#database.prepare(strings.join("?"));
    this.#statements.set(strings, statement);
    return statement;
  }
}

/** The compiler freezes a template's parts; an array that somebody put together at run time is not one. */
function requireTemplate(strings: TemplateStringsArray): void {
  if (!Array.isArray(strings) || !Array.isArray(strings.raw) || !Object.isFrozen(strings)) throw new TypeError("SQL must be a tagged template.");
}
