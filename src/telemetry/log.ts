/**
 * Structured lines for diagnosis, one per request. No bodies, no credentials: callers pass named fields from a short list,
 * never objects that came from outside.
 */
import type { LoggingConfig } from "../config/gateway-config.ts";
import type { Clock } from "../kernel/clock.ts";
import type { LogSink } from "./log-sink.ts";

type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  /** The line of a finished request; silent when the configuration says so. */
  request(fields: Fields): void;
  info(fields: Fields, text: string): void;
  warn(fields: Fields, text: string): void;
  error(fields: Fields, text: string): void;
  /** Writes what is buffered. */
  flush(): void;
}

/** One whose configuration may change. */
export interface ConfigurableLog extends Log {
  /** What is written from now on. */
  configure(config: LoggingConfig): void;
}

const levels: readonly LoggingConfig["level"][] = ["trace", "debug", "info", "warn", "error", "silent"];

/** Lines are JSON objects with `level`, `time` (ISO 8601, UTC), the fields, and `msg`. */
export function createLog(configured: LoggingConfig, sink: LogSink, clock: Clock): ConfigurableLog {
  let atMs = Number.NaN;
  let time = "";
  const write = (level: string, fields: Fields, msg: string): void => {
    const nowMs = clock.now();
    // Making the text costs more than the rest of a line, and many lines share a millisecond.
    if (nowMs !== atMs) {
      atMs = nowMs;
      time = new Date(nowMs).toISOString();
    }
    sink.write(`{"level":"${level}","time":"${time}",${JSON.stringify({ ...fields, msg }).slice(1)}\n`);
  };
  let config = configured;
  let levelMin = levels.indexOf(config.level);
  const writer = (level: LoggingConfig["level"]): Log["info"] => {
    const own = levels.indexOf(level);
    return (fields, text) => {
      if (own >= levelMin) write(level, fields, text);
    };
  };
  const info = writer("info");
  return {
    request(fields) {
      if (config.requests) info(fields, "request");
    },
    info,
    warn: writer("warn"),
    error: writer("error"),
    flush: () => sink.flush(),
    configure(next) {
      config = next;
      levelMin = levels.indexOf(next.level);
    },
  };
}
