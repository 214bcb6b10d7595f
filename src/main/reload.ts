/**
 * The configuration read again while the gateway serves: on a signal, when its files change, by the API. Read and checked whole; one
 * that is not valid changes nothing and is told of; one at a time.
 */
import type { ConfigReload, ReloadCaller, ReloadResult } from "../admin/config.ts";
import type { AuditRecord } from "../audit/record.ts";
import { diffConfigs } from "../config/diff.ts";
import type { ConfigNotice, GatewayConfig } from "../config/gateway-config.ts";
import type { Clock } from "../kernel/clock.ts";
import { internalWords } from "../kernel/gateway-error.ts";
import { newId } from "../kernel/ids.ts";
import type { Log } from "../telemetry/log.ts";
import type { ConfigStatus } from "../telemetry/metrics.ts";
import { readAgain, type ConfigReading, type FilesRead } from "./read-config.ts";
import { applicable, type RunningFacts } from "./restart-needs.ts";
import { watchFiles, type FileWatch } from "./watch-files.ts";

export interface ReloadOptions {
  /** Reads the operator's files. */
  readonly read: () => ConfigReading;
  /** What the start has read. */
  readonly filesAtStart: FilesRead;
  readonly inForce: () => GatewayConfig;
  readonly facts: () => RunningFacts;
  /** Puts a valid configuration in force, at once and whole; when it rejects, nothing has changed. */
  readonly apply: (next: GatewayConfig) => Promise<void>;
  readonly appendAudit: (records: readonly AuditRecord[]) => Promise<void>;
  readonly clock: Clock;
  readonly log: Pick<Log, "info" | "warn" | "error">;
}

export interface Reload extends ConfigReload {
  status(): ConfigStatus;
  close(): void;
}

/** A signal, or a changed file. */
const ownAccord: ReloadCaller = { actor: "gateway", sourceAddress: "" };

export function createReload(options: ReloadOptions): Reload {
  const { clock, log, inForce } = options;
  const status = { reloads: 0, failures: 0, isFailed: false, lastSuccessMs: clock.now(), needsRestart: [] as readonly string[] };
  let seen = options.filesAtStart;
  let last: Promise<unknown> = Promise.resolve();
  let watching: FileWatch | undefined;
  /** The files are good, but could not be put in force. */
  let isToBeTriedAgain = false;

  const watched = (): readonly string[] => {
    const { tls } = inForce().listen;
    // The listener reads its certificate again by itself.
    const own = new Set([tls?.certFile, tls?.keyFile, tls?.clientCaFile]);
    return [...seen.keys()].filter((path) => !own.has(path));
  };
  const fail = (errors: readonly ConfigNotice[]): ReloadResult => {
    status.failures += 1;
    status.isFailed = true;
    log.error({ faults: errors.map(noticeText).join("; ") }, "the configuration cannot be used; the last good one stays in force");
    return { isOk: false, errors };
  };
  const reloadNow = async (caller: ReloadCaller): Promise<ReloadResult> => {
    const before = inForce();
    const { path } = before.source;
    const whole = (message: string): readonly ConfigNotice[] => [{ file: path, line: 0, column: 0, path: "", message }];
    if (before.source.kind === "generated") return { isOk: false, errors: whole("this gateway was started without a configuration file; there is nothing to read again") };
    status.reloads += 1;
    isToBeTriedAgain = false;
    const reading = options.read();
    seen = reading.files;
    watching?.follow(watched());
    // An editor that empties a file before it writes it would leave the gateway without any of its settings.
    if (seen.get(path)?.trim() === "") return fail(whole("the file is empty"));
    if (!reading.ok) return fail(reading.errors);
    if (reading.hostFault !== undefined) return fail(whole(reading.hostFault));
    const { config, needsRestart } = applicable(before, reading.config, options.facts());
    const changes = diffConfigs(before, config);
    try {
      if (changes.length > 0) await options.appendAudit([auditOf(caller, path, changes.map(({ text }) => text), clock.now())]);
      await options.apply(config);
    } catch (fault) {
      // Whoever looks next takes them for changed.
      isToBeTriedAgain = true;
      seen = new Map([...seen.keys()].map((file) => [file, undefined]));
      return fail(whole(`it is valid but could not be put in force: ${internalWords(fault)}`));
    }
    Object.assign(status, { isFailed: false, lastSuccessMs: clock.now(), needsRestart });
    if (changes.length > 0) for (const { file, line, path: key, message } of config.warnings) log.warn({ file, line, path: key }, message);
    if (needsRestart.length > 0) log.warn({ keys: needsRestart.join(", ") }, "the configuration is in force but for these keys, which need a restart");
    log.info({ changes: changes.length }, changes.length === 0 ? "the configuration was read again; nothing has changed" : "another configuration is in force");
    return { isOk: true, changes, needsRestart, warnings: config.warnings };
  };
  const reload = (caller: ReloadCaller = ownAccord): Promise<ReloadResult> => {
    const result = last.then(() => reloadNow(caller)).catch((fault: unknown) => fail([{ file: inForce().source.path, line: 0, column: 0, path: "", message: internalWords(fault) }]));
    last = result;
    return result;
  };
  /** Looks while one that a look began is under way are made up for by one look after it. */
  let looks: "none" | "running" | "again" = "none";
  const look = (): void => {
    if (looks !== "none") {
      looks = "again";
      return;
    }
    const now = readAgain(seen);
    if (!watched().some((path) => now.get(path) !== seen.get(path))) return;
    looks = "running";
    void reload().then(() => {
      const isMissed = looks === "again" && !isToBeTriedAgain;
      looks = "none";
      if (isMissed) look();
    });
  };
  if (inForce().source.kind !== "generated") {
    watching = watchFiles(clock, look);
    watching.follow(watched());
  }
  return { reload, status: () => status, close: () => watching?.close() };
}

function noticeText({ file, line, column, path, message }: ConfigNotice): string {
  return `${file}${line === 0 ? "" : `:${line}:${column}`}: ${path === "" ? "" : `${path}: `}${message}`;
}

/** What an audit record may hold of a long list. */
const textsMax = 100;

function auditOf({ actor, sourceAddress }: ReloadCaller, object: string, texts: readonly string[], atMs: number): AuditRecord {
  return { id: newId("aud", atMs), atMs, action: "config.reload", actor, object, details: { changes: texts.slice(0, textsMax), count: texts.length }, sourceAddress };
}
