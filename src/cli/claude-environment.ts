/**
 * What in an environment or a settings file decides where Claude Code sends its requests, and what stands in the way of
 * a gateway. Facts from reading the client's documentation and behaviour: code.claude.com/docs/en/settings and
 * /llm-gateway-connect; that a settings file wins over the shell since 2.0.1 is reported in anthropics/claude-code#8500.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CliContext, Environment } from "./context.ts";
import { objectOf, textOf } from "./json.ts";

/** One settings file of Claude Code that exists. */
export interface ClaudeSettings {
  readonly path: string;
  /** Variables it sets for the client; they win over the shell's. */
  readonly env: Environment;
  readonly hasApiKeyHelper: boolean;
  /** Not JSON, or unreadable: the client ignores it, or stops. */
  readonly isBroken: boolean;
}

/** Settings files in rising precedence: user, project, local, managed. Those that do not exist are left out. */
export async function readClaudeSettings(context: Pick<CliContext, "cwd" | "homeDir" | "env">, platform: NodeJS.Platform): Promise<readonly ClaudeSettings[]> {
  const userDir = context.env.CLAUDE_CONFIG_DIR ?? join(context.homeDir, ".claude");
  const paths = [join(userDir, "settings.json"), join(context.cwd, ".claude", "settings.json"), join(context.cwd, ".claude", "settings.local.json"), managedSettingsPath(platform)];
  const found: ClaudeSettings[] = [];
  for (const path of new Set(paths)) {
    const settings = await readSettings(path);
    if (settings !== undefined) found.push(settings);
  }
  return found;
}

function managedSettingsPath(platform: NodeJS.Platform): string {
  if (platform === "darwin") return "/Library/Application Support/ClaudeCode/managed-settings.json";
  if (platform === "win32") return String.raw`C:\Program Files\ClaudeCode\managed-settings.json`;
  return "/etc/claude-code/managed-settings.json";
}

async function readSettings(path: string): Promise<ClaudeSettings | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    // Absent is the ordinary case; a file this user cannot read is one the client cannot read either.
    return undefined;
  }
  try {
    const settings = objectOf(JSON.parse(text));
    const env = Object.fromEntries(Object.entries(objectOf(settings.env)).map(([name, value]) => [name, textOf(value)]));
    return { path, env, hasApiKeyHelper: textOf(settings.apiKeyHelper) !== "", isBroken: false };
  } catch {
    return { path, env: {}, hasApiKeyHelper: false, isBroken: true };
  }
}

/** Variables that select a cloud instead of `ANTHROPIC_BASE_URL`; the client then ignores the latter. */
export function cloudSwitches(env: Environment): readonly string[] {
  return Object.keys(env).filter((name) => name.startsWith("CLAUDE_CODE_USE_") && !["", "0", "false", "no", "off"].includes((env[name] ?? "").toLowerCase()));
}

/** Something wrong with a base URL, and the value that would be right. */
export interface BaseUrlProblem {
  readonly level: "warn" | "fail";
  readonly message: string;
  readonly mend: string;
}

/**
 * What is wrong with a value of `ANTHROPIC_BASE_URL`; the first mistake found, since mending it usually mends all.
 *
 * @param value as it stands in the environment or file
 * @param gateway root of the gateway that it should lead to
 * @returns undefined when it leads there
 */
export function baseUrlProblem(value: string, gateway: string): BaseUrlProblem | undefined {
  const mend = `Set ANTHROPIC_BASE_URL=${gateway}`;
  const fail = (message: string): BaseUrlProblem => ({ level: "fail", message, mend });
  if (value !== value.trim() || /^["'].*["']$/.test(value)) return fail("It has quotes or spaces around it.");
  if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) return fail("It is not an http or https address.");
  const url = new URL(value);
  const target = new URL(gateway);
  const path = url.pathname;
  if (/\/v1\/v1(\/|$)/.test(path)) return fail("It has /v1 twice.");
  if (/\/v1\/messages\/?$/.test(path)) return fail("It ends with /v1/messages, which the client adds itself: requests would go to /v1/messages/v1/messages.");
  if (/\/v1\/?$/.test(path)) return fail("It ends with /v1, which the client adds itself: requests would go to /v1/v1/messages.");
  if (url.search !== "" || url.hash !== "") return fail("It has a query or a fragment.");
  if (sameHost(url.hostname, target.hostname)) {
    if (url.protocol !== target.protocol) return fail(`It says ${url.protocol}// where the gateway speaks ${target.protocol}//.`);
    if (portOf(url) !== portOf(target)) return fail(`It has port ${portOf(url)} where the gateway listens on ${portOf(target)}.`);
  } else if (url.hostname === "api.anthropic.com") return { level: "warn", message: "It leads to Anthropic itself, past the gateway.", mend };
  else return { level: "warn", message: `It leads to ${url.host}, and this gateway is ${target.host}.`, mend: `${mend}, or give doctor the other gateway with --url.` };
  if (path !== "/" && path.endsWith("/")) return { level: "warn", message: "It ends with a slash.", mend: `Set ANTHROPIC_BASE_URL=${value.replace(/\/+$/, "")}` };
  if (path === "/" && value.endsWith("/")) return { level: "warn", message: "It ends with a slash.", mend };
  return undefined;
}

function portOf(url: URL): string {
  return url.port !== "" ? url.port : url.protocol === "https:" ? "443" : "80";
}

/** True for names that mean this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || hostname === "::1" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function sameHost(a: string, b: string): boolean {
  return a === b || (isLoopback(a) && isLoopback(b));
}
