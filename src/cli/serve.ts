/** `tollgate serve`: starts the gateway in this process, says what to paste, and stops it decently on a signal. */
import { closeSync, existsSync, openSync } from "node:fs";
import { join, resolve } from "node:path";
import { InvalidArgumentError, type Command } from "commander";
import { CliError, messageOf, ShownFailure } from "./cli-error.ts";
import { adminKeyFileName, defaultDataDir, developerKeyFileName } from "./connection.ts";
import type { CliContext } from "./context.ts";
import { renderFirstStart, renderStart } from "./first-start.ts";
import { commaList } from "./key-fields.ts";
import { listenFailure } from "./listen-failure.ts";
import { formatNotice } from "./text.ts";
import type { ConfigNotice } from "../config/gateway-config.ts";

/** Looked for in the working directory when `--config` is not given. */
export const defaultConfigFile = "tollgate.yaml";

interface ServeOptions {
  readonly config?: string;
  readonly host?: string;
  readonly port?: number;
  readonly dataDir: string;
  readonly insecureDevKey?: boolean;
  readonly acceptUnenforced?: readonly string[];
  readonly json?: boolean;
}

/** Adds `serve` to the program. */
export function addServeCommand(program: Command, context: CliContext): void {
  program
    .command("serve")
    .description("Run the gateway until a signal stops it.")
    .option("--config <file>", `tollgate.yaml, or a LiteLLM config.yaml (else ./${defaultConfigFile} where there is one, else made from the environment)`)
    .option("--host <address>", "address to listen on (else the configuration's, else 127.0.0.1)")
    .option("--port <number>", "port to listen on; 0 takes a free one (else the configuration's, else 4000)", portNumber)
    .option("--data-dir <dir>", "folder of the ledger and the keys; made when it is not there", defaultDataDir)
    .option("--insecure-dev-key", "accept a weak or example secret; on loopback only")
    .option("--accept-unenforced <names>", "restrictions of a LiteLLM file that this build does not enforce and you accept, separated by commas", commaList)
    .option("--json", "print one JSON object at the start instead of text")
    .action((options: ServeOptions) => serve(options, context));
}

/** The file that `--config` or the default means; undefined when there is none. */
export function configPath(flag: string | undefined, cwd: string): string | undefined {
  if (flag !== undefined) return resolve(cwd, flag);
  const path = resolve(cwd, defaultConfigFile);
  return existsSync(path) ? path : undefined;
}

async function serve(options: ServeOptions, context: CliContext): Promise<void> {
  const { startGateway } = await import("../main.ts");
  const path = configPath(options.config, context.cwd);
  const dataDir = resolve(context.cwd, options.dataDir);
  let gateway: Awaited<ReturnType<typeof startGateway>>;
  try {
    gateway = await startGateway({
      ...(path === undefined ? {} : { configPath: path }),
      ...(options.host === undefined ? {} : { host: options.host }),
      ...(options.port === undefined ? {} : { port: options.port }),
      dataDir,
      insecureDevKey: options.insecureDevKey === true,
      acceptUnenforced: options.acceptUnenforced ?? [],
      env: context.env,
    });
  } catch (error) {
    throw startFailure(error, options, context);
  }
  const stopped = untilSignal(gateway, context);
  const started = {
    url: gateway.url,
    config: gateway.config,
    adminKey: gateway.firstStart.adminKey,
    adminKeyFile: join(dataDir, adminKeyFileName),
    developerKey: gateway.firstStart.developerKey,
    developerKeyFile: join(dataDir, developerKeyFileName),
    developerKeyState: gateway.firstStart.developerKeyFile,
  };
  if (options.json === true) {
    const { url, adminKey, adminKeyFile, developerKey, developerKeyFile } = started;
    context.output.print(JSON.stringify({ url, admin_key: adminKey?.reveal(), admin_key_file: adminKeyFile, developer_key: developerKey?.reveal(), developer_key_file: developerKeyFile }));
  } else if (started.adminKey === undefined && started.developerKey === undefined) context.output.print(renderStart(started));
  else context.output.print(renderFirstStart(started, context.output));
  gateway.firstStart.shown();
  await stopped;
}

/**
 * Resolves when the first SIGTERM or SIGINT has led to a complete close. A second one exits at once, with the code that
 * shells give to death by that signal. SIGHUP reads the configuration again, unless it comes of a terminal that was closed.
 */
async function untilSignal(gateway: { close(): Promise<void>; reload(): Promise<unknown> }, context: CliContext): Promise<void> {
  const signals = { SIGINT: 130, SIGTERM: 143 } as const;
  let isClosing = false;
  await new Promise<void>((resolveStopped, rejectStopped) => {
    const stop = (signal: string): void => {
      isClosing = true;
      context.output.note(`${signal}: letting replies finish; once more stops at once.`);
      gateway.close().then(resolveStopped, rejectStopped);
    };
    for (const [signal, exitCode] of Object.entries(signals)) {
      process.on(signal, () => {
        if (isClosing) process.exit(exitCode);
        stop(signal);
      });
    }
    process.on("SIGHUP", () => {
      if (isClosing) return;
      if (isTerminalGone()) stop("SIGHUP");
      else void gateway.reload();
    });
  });
}

/** A gateway that was started in a terminal ends with it; one that was not has no terminal to lose. */
function isTerminalGone(): boolean {
  if (!process.stdout.isTTY) return false;
  try {
    closeSync(openSync("/dev/tty", "r"));
    return false;
  } catch {
    return true;
  }
}

/** Shape of `StartupError`, recognised without importing its class. */
interface StartupFailure extends Error {
  readonly notices: readonly ConfigNotice[];
  readonly exitCode: number;
}

function isStartupFailure(error: unknown): error is StartupFailure {
  return error instanceof Error && "notices" in error && Array.isArray(error.notices) && "exitCode" in error && typeof error.exitCode === "number";
}

function startFailure(error: unknown, options: ServeOptions, context: CliContext): Error {
  if (isStartupFailure(error)) {
    if (error.notices.length === 0) return listenFailure(error) ?? plainFailure(messageOf(error), error.exitCode);
    const notices = error.notices.map(({ file, line, column, path, message }) => ({ file, line, column, path, message }));
    if (options.json === true) context.output.note(JSON.stringify({ error: { message: messageOf(error), notices } }, undefined, 2));
    else for (const notice of notices) context.output.note(formatNotice(notice));
    return new ShownFailure(error.exitCode);
  }
  return listenFailure(error) ?? new CliError(`The gateway did not start: ${messageOf(error)}`);
}

/** The gateway's own reason, without the code in front that means something to its log only. */
function plainFailure(message: string, exitCode: number): CliError {
  const reason = message.replace(/^gateway_[a-z_]+: /, "");
  const mend = reason.startsWith("another Tollgate ") ? "Stop that one, or give this one its own folder with --data-dir (and its own --port)." : "";
  return new CliError(`The gateway did not start: ${reason}.`, { mend, exitCode });
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError("It must be a number from 0 to 65535.");
  return port;
}
