/**
 * `tollgate statusline`: one line for Claude Code's `statusLine` setting, which runs a command at every turn and shows what it prints. It
 * asks the gateway at most once a minute, and never fails loudly: a status line is no place for errors. It runs so often that it is started
 * without the rest of the command line, so this file must import little.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { styleText } from "node:util";
import type { Command } from "commander";
import { Secret } from "../kernel/secret.ts";
import { gatewayClient } from "./client.ts";
import { readKeyFile } from "./connection.ts";
import type { CliContext, Environment, Output } from "./context.ts";
import { listOf, objectOf, textOf, type JsonObject } from "./json.ts";

/** How old an answer may be that is shown again. */
const freshMs = 60_000;
/** The client waits for its status line; nobody waits for a gateway that is slow. */
const requestTimeoutMs = 700;
/** Of the JSON that the client writes to standard input. */
const inputBytesMax = 64 * 1024;
const inputTimeoutMs = 200;
const warnPercent = 75;
const alarmPercent = 95;

/** Where Claude Code finds a gateway, by the place it believes to speak to. */
const urlVariables = ["ANTHROPIC_BASE_URL", "ANTHROPIC_BEDROCK_BASE_URL", "ANTHROPIC_VERTEX_BASE_URL", "ANTHROPIC_FOUNDRY_BASE_URL"] as const;
const pathsOfClouds = /\/(?:anthropic|bedrock|vertex_ai(?:\/v1)?|foundry(?:\/anthropic)?|mantle(?:\/anthropic)?|anthropic-aws|v1)\/?$/;

interface StatuslineOptions {
  readonly keyFile?: string;
}

/** Adds `statusline` to the program. */
export function addStatuslineCommand(program: Command, context: CliContext): void {
  program
    .command("statusline")
    .description("Print what is spent and left of your budget, for the statusLine setting of Claude Code.")
    .option("--key-file <file>", "file that holds your key (else ANTHROPIC_AUTH_TOKEN, ANTHROPIC_API_KEY)")
    .action(async (options: StatuslineOptions) => printStatusline(options, context));
}

/**
 * The command by itself, several times as fast as the whole program takes to load.
 *
 * @param args what stands behind the command's name
 * @returns false when they ask for something else than the line; nothing is printed then
 */
export async function runStatusline(args: readonly string[], context: CliContext): Promise<boolean> {
  const [flag, file, ...more] = args.length === 1 ? args[0]!.split(/(?<=^--key-file)=/) : args;
  if (flag !== undefined && (flag !== "--key-file" || file === undefined || file === "" || more.length > 0)) return false;
  await printStatusline(file === undefined ? {} : { keyFile: file }, context);
  return true;
}

async function printStatusline(options: StatuslineOptions, context: CliContext): Promise<void> {
  const line = await statusline(options, context).catch(() => "");
  if (line !== "") context.output.print(line);
}

/** Who shows the line reads it from a pipe and passes colours on to the terminal. */
function coloursOf({ env, output }: CliContext): Pick<Output, "style"> {
  const isPlain = [env.NO_COLOR, env.NODE_DISABLE_COLORS].some((value) => value !== undefined && value !== "");
  return isPlain ? output : { style: (format, text) => styleText(format, text, { validateStream: false }) };
}

async function statusline(options: StatuslineOptions, context: CliContext): Promise<string> {
  const url = gatewayRoot(context.env);
  const key = options.keyFile === undefined ? keyOf(context.env) : await readKeyFile(options.keyFile);
  if (url === undefined || key === undefined) return "";
  const session = sessionIn(await readInput(context));
  const path = `/v1/me${session === "" ? "" : `?session=${encodeURIComponent(session)}`}`;
  const cache = cacheFile(context, `${url} ${key.reveal()} ${session}`);
  const nowMs = context.clock.now();
  const known = await readCache(cache);
  if (known !== undefined && nowMs - known.atMs >= 0 && nowMs - known.atMs < freshMs) return renderStatus(known.me, coloursOf(context));
  const me = await ask(url, key, path);
  // The last answer is better than none, and a gateway that does not answer is not asked again at once.
  const shown = me ?? known?.me ?? {};
  await writeCache(cache, { atMs: nowMs, me: shown });
  return renderStatus(shown, coloursOf(context));
}

/** The gateway's root behind an address that a client of some cloud was given. */
export function gatewayRoot(env: Environment): string | undefined {
  const text = env.TOLLGATE_URL ?? urlVariables.map((name) => env[name]).find((value) => value !== undefined && value !== "");
  if (text === undefined || !URL.canParse(text)) return undefined;
  const { origin, pathname } = new URL(text);
  return `${origin}${pathname.replace(/\/+$/, "").replace(pathsOfClouds, "")}`;
}

function keyOf(env: Environment): Secret | undefined {
  const text = [env.ANTHROPIC_AUTH_TOKEN, env.ANTHROPIC_API_KEY, keyInHeaders(env.ANTHROPIC_CUSTOM_HEADERS)].find((value) => value !== undefined && value !== "");
  return text === undefined ? undefined : new Secret(text);
}

/** Lines of `Name: value`. */
function keyInHeaders(text: string | undefined): string | undefined {
  const line = text?.split("\n").find((each) => /^(?:x-litellm-api-key|x-tollgate-key)\s*:/i.test(each));
  return line?.slice(line.indexOf(":") + 1).trim().replace(/^Bearer\s+/i, "");
}

async function ask(url: string, key: Secret, path: string): Promise<JsonObject | undefined> {
  try {
    return objectOf(await gatewayClient({ url, urlSource: "", key, keySource: "", timeoutMs: requestTimeoutMs }).call("GET", path));
  } catch {
    return undefined;
  }
}

/** The budget that is nearest to its end, or what was spent where there is none; empty without an answer. */
export function renderStatus(me: JsonObject, output: Pick<Output, "style">): string {
  const budgets = listOf(me.budgets).map(objectOf);
  if (budgets.length === 0) return textOf(me.spend_usd) === "" ? "" : `$${dollars(me.spend_usd)} spent`;
  const worst = budgets.toSorted((a, b) => percentUsed(b) - percentUsed(a))[0]!;
  const percent = percentUsed(worst);
  const parts = [`$${dollars(worst.spent_usd)} of $${dollars(worst.amount_usd)} ${nameOf(textOf(worst.scope))}`, `$${dollars(worst.left_usd)} left`];
  const resets = textOf(worst.resets_at);
  if (resets !== "") parts.push(`resets ${resets.slice(0, 10)}`);
  if (percent >= warnPercent) parts.push(output.style(percent >= alarmPercent ? "red" : "yellow", `⚠ ${Math.floor(percent)} % used`));
  return parts.join(" · ");
}

function percentUsed(budget: JsonObject): number {
  const amount = Number(textOf(budget.amount_usd));
  const used = Number(textOf(budget.spent_usd)) + Number(textOf(budget.held_usd));
  return amount > 0 ? (100 * used) / amount : 100;
}

/** Two digits say enough here. */
function dollars(value: unknown): string {
  return Number(textOf(value)).toFixed(2);
}

const names: Readonly<Record<string, string>> = { global: "for everybody", user: "for you", team_user: "for you", key: "for this key", session: "for this session", run: "for this run" };

function nameOf(scope: string): string {
  const colon = scope.indexOf(":");
  const kind = colon === -1 ? scope : scope.slice(0, colon);
  return names[kind] ?? `for ${kind} ${scope.slice(colon + 1)}`;
}

function sessionIn(input: string): string {
  try {
    return textOf(objectOf(JSON.parse(input)).session_id);
  } catch {
    return "";
  }
}

/** What the client writes; nothing where nobody does. */
async function readInput({ input, clock }: CliContext): Promise<string> {
  const stream = input?.();
  if (stream === undefined) return "";
  // Whoever started the command may keep its end open for ever.
  const timer = clock.after(inputTimeoutMs, () => stream.destroy());
  let text = "";
  try {
    for await (const chunk of stream) {
      text += String(chunk);
      if (text.length > inputBytesMax) break;
    }
  } catch {
    // What came is all there is.
  }
  timer.cancel();
  return text;
}

interface Cached {
  readonly atMs: number;
  readonly me: JsonObject;
}

/** One file for each gateway, key and session; its name tells none of them. */
function cacheFile({ env, homeDir }: CliContext, identity: string): string {
  const folder = env.XDG_CACHE_HOME ?? join(homeDir, ".cache");
  return join(folder, "tollgate", `statusline-${createHash("sha256").update(identity).digest("hex").slice(0, 32)}.json`);
}

async function readCache(file: string): Promise<Cached | undefined> {
  try {
    const { atMs, me } = JSON.parse(await readFile(file, "utf8")) as { atMs?: unknown; me?: unknown };
    return typeof atMs === "number" ? { atMs, me: objectOf(me) } : undefined;
  } catch {
    return undefined;
  }
}

/** Replaced as a whole, since several status lines may be written at once. */
async function writeCache(file: string, cached: Cached): Promise<void> {
  try {
    await mkdir(join(file, ".."), { recursive: true, mode: 0o700 });
    const draft = `${file}.${process.pid}`;
    await writeFile(draft, JSON.stringify(cached), { mode: 0o600 });
    await rename(draft, file);
  } catch {
    // Without a cache the gateway is asked each time, which is no fault either.
  }
}
