/**
 * Structured lines for diagnosis, one per request. No bodies, no credentials: callers pass named fields from a short list,
 * never objects that came from outside.
 */
import { pino, type DestinationStream } from "pino";
import type { LoggingConfig } from "../config/gateway-config.ts";

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

/** @param destination where lines go; absent: standard output, buffered and written at least each second */
export function createLog(config: LoggingConfig, destination?: DestinationStream): Log {
  const stream = destination ?? pino.destination({ dest: 1, sync: false, minLength: 4096, periodicFlush: 1000 });
  const logger = pino({ level: config.level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } }, stream);
  return {
    request(fields) {
      if (config.requests) logger.info(fields, "request");
    },
    info: (fields, text) => logger.info(fields, text),
    warn: (fields, text) => logger.warn(fields, text),
    error: (fields, text) => logger.error(fields, text),
    flush() {
      if ("flushSync" in stream && typeof stream.flushSync === "function") {
        try {
          stream.flushSync();
        } catch {
          // The descriptor may not be open yet, or be gone; at the end of the process nobody can be told.
        }
      }
    },
  };
}
