/**
 * `tollgate claude …`: the developer's own Claude Code, pointed at the gateway. The only file of the product that starts
 * another program; it starts nothing but `claude` as found on PATH, without a shell.
 */
import { execFile, spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { constants as osConstants } from "node:os";
import { delimiter, join, resolve } from "node:path";
import type { Command } from "commander";
import { Secret } from "../kernel/secret.ts";
import { CliError, messageOf, ShownFailure } from "./cli-error.ts";
import { baseUrlProblem, cloudSwitches, isLoopback, readClaudeSettings, type ClaudeSettings } from "./claude-environment.ts";
import { errorText, gatewayClient } from "./client.ts";
import { defaultDataDir, defaultGatewayUrl, developerKeyFileName, gatewayUrl, readKeyFile } from "./connection.ts";
import type { CliContext, Environment } from "./context.ts";
import { renderJson } from "./json.ts";

interface ClaudeOptions {
  readonly url?: string;
  readonly dataDir: string;
  readonly json?: boolean;
}

/** How long the gateway may take to say whether it knows the key, before the client is started. */
const checkTimeoutMs = 5_000;
/** How long `claude --version` may take. */
const versionTimeoutMs = 15_000;

/** Adds `claude` to the program. */
export function addClaudeCommand(program: Command, context: CliContext): void {
  program
    .command("claude")
    .description("Start your own Claude Code through the gateway. Arguments are handed to it; --help and --json only behind `--`.")
    .argument("[args...]", "for Claude Code")
    .option("--url <url>", `the gateway's address (else TOLLGATE_URL, else ${defaultGatewayUrl})`)
    .option("--data-dir <dir>", "data folder that holds the developer key (used when TOLLGATE_KEY is not set)", defaultDataDir)
    .option("--json", "start nothing; print what would be started")
    .passThroughOptions()
    .allowUnknownOption()
    .action((args: string[], options: ClaudeOptions) => launch(args, options, context));
}

async function launch(args: readonly string[], options: ClaudeOptions, context: CliContext): Promise<void> {
  const { url, source } = gatewayUrl(options.url, context);
  const { key, keySource } = await developerKey(options, context);
  const binary = await findClaude(context.env);
  if (binary === undefined) throw new CliError("There is no `claude` on PATH.", { mend: "Install it with `npm install -g @anthropic-ai/claude-code`." });
  const { env, removed } = claudeEnvironment(context.env, { url, key });
  if (options.json === true) {
    const sets = { ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: key.toString() };
    return context.output.print(renderJson({ command: binary, args, sets, key_from: keySource, removes: removed }));
  }
  await checkKey(url, source, { key, keySource });
  for (const remark of settingsRemarks(await readClaudeSettings(context, process.platform), url)) context.output.note(`tollgate: ${remark}`);
  const exitCode = await runInForeground(binary, args, env);
  if (exitCode !== 0) throw new ShownFailure(exitCode);
}

/** `TOLLGATE_KEY`, else the key that the gateway's first start left in the data folder. */
async function developerKey(options: ClaudeOptions, context: CliContext): Promise<{ key: Secret; keySource: string }> {
  const variable = context.env.TOLLGATE_KEY?.trim();
  if (variable !== undefined && variable !== "") return { key: new Secret(variable), keySource: "TOLLGATE_KEY" };
  const path = resolve(context.cwd, options.dataDir, developerKeyFileName);
  const key = await readKeyFile(path);
  if (key === undefined) {
    throw new CliError(`No developer key: TOLLGATE_KEY is not set, and there is no ${path}.`, { mend: "Set TOLLGATE_KEY to a key that `tollgate keys create` made, or point --data-dir at the gateway's data folder." });
  }
  return { key, keySource: path };
}

/** One cheap question before the client starts, because it would retry a wrong address or key for minutes. */
async function checkKey(url: string, urlSource: string, { key, keySource }: { key: Secret; keySource: string }): Promise<void> {
  const reply = await gatewayClient({ url, urlSource, key, keySource, timeoutMs: checkTimeoutMs }).send("GET", "/v1/me");
  if (reply.status === 401 || reply.status === 403) {
    throw new CliError(`The key from ${keySource} was not accepted at ${url}: ${errorText(reply)}`, { mend: "Make one with `tollgate keys create`, and set TOLLGATE_KEY to it." });
  }
  if (reply.status >= 400 && reply.status !== 404) throw new CliError(`The gateway at ${url} is not well (status ${reply.status}): ${errorText(reply)}`, { mend: "See `tollgate doctor`." });
}

/**
 * The client's environment.
 *
 * @param env the shell's
 * @returns the new one, and the names that were taken out of it: other credentials and cloud switches, which would win
 *   over the gateway, and Tollgate's own keys, which the commands that an agent runs must not see
 */
export function claudeEnvironment(env: Environment, gateway: { readonly url: string; readonly key: Secret }): { readonly env: Environment; readonly removed: readonly string[] } {
  const removed = Object.keys(env).filter((name) => ["ANTHROPIC_API_KEY", "TOLLGATE_KEY", "TOLLGATE_ADMIN_KEY"].includes(name) || name.startsWith("CLAUDE_CODE_USE_"));
  const kept = Object.entries(env).filter(([name]) => !removed.includes(name));
  const result: Record<string, string | undefined> = { ...Object.fromEntries(kept), ANTHROPIC_BASE_URL: gateway.url, ANTHROPIC_AUTH_TOKEN: gateway.key.reveal() };
  const { hostname } = new URL(gateway.url);
  if (isLoopback(hostname)) {
    // A company's proxy cannot reach this machine's loopback; the client must not ask it to.
    for (const name of ["NO_PROXY", "no_proxy"]) {
      if (name === "NO_PROXY" || env[name] !== undefined) result[name] = [env[name] ?? "", hostname].filter((part) => part !== "").join(",");
    }
  }
  return { env: result, removed: removed.toSorted() };
}

/** Sentences about settings files that would lead the client elsewhere all the same. */
function settingsRemarks(files: readonly ClaudeSettings[], url: string): readonly string[] {
  const remarks: string[] = [];
  for (const { path, env } of files) {
    const baseUrl = env.ANTHROPIC_BASE_URL;
    if (baseUrl !== undefined && baseUrlProblem(baseUrl, url) !== undefined) remarks.push(`${path} sets ANTHROPIC_BASE_URL, which wins over this command; take it out there.`);
    if (env.ANTHROPIC_AUTH_TOKEN !== undefined) remarks.push(`${path} sets ANTHROPIC_AUTH_TOKEN, which wins over this command; take it out there.`);
    for (const name of cloudSwitches(env)) remarks.push(`${path} sets ${name}, with which Claude Code goes past the gateway; take it out there.`);
  }
  return remarks;
}

/** Path of `claude` on PATH; undefined when it is not there. */
export async function findClaude(env: Environment): Promise<string | undefined> {
  const name = process.platform === "win32" ? "claude.exe" : "claude";
  for (const dir of (env.PATH ?? env.Path ?? "").split(delimiter)) {
    if (dir === "") continue;
    const path = join(dir, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder; the next one may have it.
    }
  }
  return undefined;
}

/** What `claude --version` prints, for instance `2.1.330 (Claude Code)`; an empty text when it fails. */
export async function claudeVersion(binary: string, env: Environment): Promise<string> {
  return await new Promise((resolveVersion) => {
    execFile(binary, ["--version"], { env: { ...env }, timeout: versionTimeoutMs }, (error, stdout) => resolveVersion(error === null ? stdout.trim() : ""));
  });
}

/** Runs the client on this terminal; its exit code, or 128 + the signal that ended it, as shells have it. */
async function runInForeground(binary: string, args: readonly string[], env: Environment): Promise<number> {
  return await new Promise((resolveExit, rejectExit) => {
    const child = spawn(binary, args, { env: { ...env }, stdio: "inherit" });
    const forward = (signal: NodeJS.Signals): void => {
      // Ctrl-C on a terminal reaches the client directly; a second copy would count as pressing it twice.
      if (signal === "SIGINT" && process.stdin.isTTY) return;
      child.kill(signal);
    };
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    for (const signal of signals) process.on(signal, forward);
    const done = (): void => {
      for (const signal of signals) process.off(signal, forward);
    };
    child.on("error", (error) => {
      done();
      rejectExit(new CliError(`${binary} cannot be started: ${messageOf(error)}`));
    });
    child.on("close", (code, signal) => {
      done();
      resolveExit(code ?? 128 + (signal === null ? 0 : osConstants.signals[signal]));
    });
  });
}
