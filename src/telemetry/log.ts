/**
 * Structured lines for diagnosis, one per request. No bodies, no credentials: callers pass named fields from a short list,
 * never objects that came from outside.
 */
import { pino } from "pino";
import type { LoggingConfig } from "../config/gateway-config.ts";
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

export function createLog(config: LoggingConfig, sink: LogSink): Log {
  const logger = pino({ level: config.level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } }, sink);
  return {
    request(fields) {
      if (config.requests) logger.info(fields, "request");
    },
    info: (fields, text) => logger.info(fields, text),
    warn: (fields, text) => logger.warn(fields, text),
    error: (fields, text) => logger.error(fields, text),
    flush: () => sink.flush(),
  };
}
