/**
 * The real Claude Code in three generations, started as a developer would start it in a script: print mode, an empty home,
 * nothing in the environment but what the test gives.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const modules = join(import.meta.dirname, "node_modules");

/** One installed version. */
export interface ClaudeCode {
  readonly version: "2.1.330" | "1.0.33" | "0.2.126";
  /** Program and its first arguments. */
  readonly command: readonly string[];
  /** Sends its credential in `Proxy-Authorization` too. */
  readonly hasProxyAuthorization: boolean;
  /** Sends `x-claude-code-session-id`. */
  readonly hasSessionId: boolean;
  /** Requests it makes before it shows an error that says `x-should-retry: false`: old versions always ask once more, without `stream`. */
  readonly requestsPerRefusal: number;
}

/** The version that a new installation gets. A native binary: the package's own stub needs an install script, so its platform package is run. */
export const newest: ClaudeCode = { version: "2.1.330", command: [platformBinary()], hasProxyAuthorization: false, hasSessionId: true, requestsPerRefusal: 1 };

/** All versions under test, newest first. */
export const versions: readonly ClaudeCode[] = [
  newest,
  { version: "1.0.33", command: [process.execPath, join(modules, "claude-code-1-0-33", "cli.js")], hasProxyAuthorization: true, hasSessionId: false, requestsPerRefusal: 2 },
  { version: "0.2.126", command: [process.execPath, join(modules, "claude-code-0-2-126", "cli.js")], hasProxyAuthorization: true, hasSessionId: false, requestsPerRefusal: 2 },
];

function platformBinary(): string {
  const stem = join(modules, "@anthropic-ai", `claude-code-${process.platform}-${process.arch}`);
  const candidates = [join(stem, "claude"), join(stem, "claude.exe"), join(`${stem}-musl`, "claude")];
  return candidates.find((path) => existsSync(path)) ?? candidates[0]!;
}

/** How a client is started. */
export interface RunOptions {
  readonly prompt: string;
  readonly env: Readonly<Record<string, string>>;
  /** More command-line arguments, after the prompt. */
  readonly args?: readonly string[];
  /** `~/.claude/settings.json`. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Working directory and home are made in here. */
  readonly folder: string;
  /** Telemetry, update checks and model discovery; default off. */
  readonly isTrafficAllowed?: boolean;
  /** Default 60,000. */
  readonly timeoutMs?: number;
}

/** What a client did. */
export interface Run {
  /** Both streams, as a terminal would show them. */
  readonly output: string;
  readonly stdout: string;
  /** Null when it had to be stopped. */
  readonly exitCode: number | null;
  readonly durationMs: number;
  readonly home: string;
  readonly workFolder: string;
}

/** What a client is started in. */
export interface Surroundings {
  readonly home: string;
  readonly workFolder: string;
  readonly env: Readonly<Record<string, string>>;
}

/** An empty home with the given settings, an empty working directory, and an environment that has nothing else in it. */
export function makeSurroundings({ folder, settings, env, isTrafficAllowed }: Pick<RunOptions, "folder" | "settings" | "env" | "isTrafficAllowed">): Surroundings {
  const home = mkdtempSync(join(folder, "home-"));
  const workFolder = mkdtempSync(join(folder, "work-"));
  if (settings !== undefined) {
    mkdirSync(join(home, ".claude"));
    writeFileSync(join(home, ".claude", "settings.json"), JSON.stringify(settings));
  }
  const whole = {
    PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
    HOME: home,
    SHELL: "/bin/bash",
    TMPDIR: folder,
    ...(isTrafficAllowed === true ? {} : { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1" }),
    ...env,
  };
  return { home, workFolder, env: whole };
}

/** Runs a client in print mode to its end. Never rejects for what the client does; at the timeout its process group is killed. */
export function runClaude(client: ClaudeCode, options: RunOptions): Promise<Run> {
  const { home, workFolder, env } = makeSurroundings(options);
  const [program, ...first] = client.command;
  const startedAt = performance.now();
  const child = spawn(program!, [...first, "-p", options.prompt, ...(options.args ?? [])], { cwd: workFolder, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  return new Promise((resolve, reject) => {
    const stdout: Buffer[] = [];
    const both: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => void (stdout.push(chunk), both.push(chunk)));
    child.stderr.on("data", (chunk: Buffer) => void both.push(chunk));
    const timer = setTimeout(() => killGroup(child.pid), options.timeoutMs ?? 60_000);
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (exitCode) => {
      clearTimeout(timer);
      resolve({ output: String(Buffer.concat(both)), stdout: String(Buffer.concat(stdout)), exitCode, durationMs: performance.now() - startedAt, home, workFolder });
    });
  });
}

/** The client leads its own process group, so that tools it started end with it. */
function killGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // It ended by itself in this instant.
  }
}
