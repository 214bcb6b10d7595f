/**
 * What the login flows of clouds may use of the world, all passed in: time, environment, files, and requests through the
 * dialer's system door (K1). A flow opens no socket and reads no clock of its own.
 */
import type { Clock } from "../kernel/clock.ts";

/** A small request to a login service: a token endpoint, STS, a metadata server. */
export interface LoginRequest {
  /** `https://host[:port]`, or `http://` for metadata servers and loopback. */
  readonly origin: string;
  readonly method: "GET" | "POST" | "PUT";
  /** Path and query. */
  readonly path: string;
  /** Flat list: name, value, … */
  readonly headers: readonly string[];
  readonly body: Buffer | null;
  /** For the whole exchange. */
  readonly timeoutMs: number;
}

export interface LoginReply {
  readonly status: number;
  /** Flat list, names as received. */
  readonly headers: readonly string[];
  /** Whole, at most 1 MiB. */
  readonly body: Buffer;
}

export interface CredentialRuntime {
  readonly clock: Clock;
  /** The environment as it was at the start. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeFolder: string;
  /** @throws Error with `code: "ENOENT"` and the like, as node:fs */
  readFile(path: string): Promise<string>;
  /** Milliseconds since the epoch of the file's last change; undefined when it is not there. */
  modifiedAtMs(path: string): Promise<number | undefined>;
  /**
   * Follows no redirect. Link-local addresses are reachable for metadata servers only.
   *
   * @throws Error when no whole reply came
   */
  request(request: LoginRequest): Promise<LoginReply>;
  /** Runs a program of the operator's and gives its output; absent unless the configuration allows it. */
  run?(command: string): Promise<string>;
}

/** A login that failed. Its words are for the operator's log; a client is told that the gateway's credential does not work. */
export class CredentialError extends Error {
  /** A later try may do better: a time-out, a 5xx. False for a login that was refused. */
  readonly isTransient: boolean;

  constructor(message: string, isTransient: boolean) {
    super(message);
    this.name = "CredentialError";
    this.isTransient = isTransient;
  }
}

/** Something that ends. `expiresAtMs` is undefined for what does not. */
export interface Expiring {
  readonly expiresAtMs: number | undefined;
}

/** A credential kept fresh. */
export interface CredentialSource<Value extends Expiring> {
  /**
   * The current value, without waiting while it is good; refreshed ahead of its end, one refresh at a time, and a refresh that
   * fails does no harm while the old value lives.
   *
   * @throws CredentialError when there is no usable value
   */
  get(): Promise<Value>;
  /** Forgets the value after an upstream refused it, so that the next `get` logs in again. */
  refused(value: Value): void;
}
