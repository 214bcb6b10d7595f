/** Which gateway a command speaks to, and as whom: flags first, then variables, then the data folder of a local gateway. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { Secret } from "../kernel/secret.ts";
import { CliError, systemCodeOf, usageError } from "./cli-error.ts";
import { gatewayClient, type GatewayClient } from "./client.ts";
import type { CliContext } from "./context.ts";

/** Where `tollgate serve` listens when nothing else is said. */
export const defaultGatewayUrl = "http://127.0.0.1:4000";
/** Relative to the working directory, as `tollgate serve` has it. */
export const defaultDataDir = "data";
/** Written by the gateway at its first start, mode 0600. */
export const adminKeyFileName = "admin-key";
/** Written by the gateway at its first start, mode 0600. */
export const developerKeyFileName = "developer-key";

const requestTimeoutMs = 30_000;

/** The flags that `withConnection` adds. */
export interface ConnectionOptions {
  readonly url?: string;
  readonly adminKeyFile?: string;
  readonly dataDir: string;
  readonly json?: boolean;
}

/** Adds `--url`, `--admin-key-file`, `--data-dir` and `--json` to a command that speaks to a running gateway. */
export function withConnection(command: Command): Command {
  return command
    .option("--url <url>", `the gateway's address (else TOLLGATE_URL, else ${defaultGatewayUrl})`)
    .option("--admin-key-file <file>", "file that holds the admin key (else TOLLGATE_ADMIN_KEY, else <data-dir>/admin-key)")
    .option("--data-dir <dir>", "data folder of a gateway on this machine", defaultDataDir)
    .option("--json", "print JSON");
}

/**
 * @param source the flag or variable that `text` came from
 * @returns the gateway's root without trailing slash
 * @throws CliError (exit 2) naming `source` when it is no usable address
 */
export function parseGatewayUrl(text: string, source: string): string {
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    throw usageError(`${source} is not an address: ${JSON.stringify(text)}.`, `Write it like ${defaultGatewayUrl}.`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw usageError(`${source} must begin with http:// or https://.`);
  if (url.username !== "" || url.password !== "") throw usageError(`${source} must not hold a user name or password.`, "Give the key in TOLLGATE_ADMIN_KEY or in a file.");
  if (url.search !== "" || url.hash !== "") throw usageError(`${source} must not have a query or a fragment.`);
  const path = url.pathname.replace(/\/+$/, "");
  if (/\/v1(\/|$)/.test(`${path}/`)) throw usageError(`${source} must be the gateway's root, without ${JSON.stringify(path)}.`, `Write ${url.origin} instead.`);
  return `${url.origin}${path}`;
}

/** The address by `--url`, `TOLLGATE_URL` or default, with where it came from. */
export function gatewayUrl(flag: string | undefined, context: CliContext): { readonly url: string; readonly source: string } {
  if (flag !== undefined) return { url: parseGatewayUrl(flag, "--url"), source: "--url" };
  const variable = context.env.TOLLGATE_URL;
  if (variable !== undefined && variable !== "") return { url: parseGatewayUrl(variable, "TOLLGATE_URL"), source: "TOLLGATE_URL" };
  return { url: defaultGatewayUrl, source: "the default" };
}

/**
 * A key from a file of one line.
 *
 * @returns undefined when there is no such file
 * @throws CliError when it is there but cannot be read or holds no key
 */
export async function readKeyFile(path: string): Promise<Secret | undefined> {
  let text: string;
  try {
    text = (await readFile(path, "utf8")).trim();
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new CliError(`${path} cannot be read (${code ?? "unknown reason"}).`, { mend: "Run the command as the user that runs the gateway, or set TOLLGATE_ADMIN_KEY." });
  }
  if (text === "" || /\s/.test(text)) throw new CliError(`${path} does not hold a key: it must be one line without spaces.`);
  return new Secret(text);
}

/**
 * A client with the admin key.
 *
 * @throws CliError when no admin key can be found
 */
export async function adminClient(options: ConnectionOptions, context: CliContext): Promise<GatewayClient> {
  const { url, source } = gatewayUrl(options.url, context);
  const found = await findAdminKey(options, context);
  if (found.key === undefined) {
    throw new CliError(`No admin key: TOLLGATE_ADMIN_KEY is not set, and there is no ${found.keySource}.`, { mend: "Set TOLLGATE_ADMIN_KEY, or point --data-dir at the gateway's data folder, or --admin-key-file at the key." });
  }
  return gatewayClient({ url, urlSource: source, key: found.key, keySource: found.keySource, refusedKey: refusedAdminKey(found, url), timeoutMs: requestTimeoutMs });
}

/** An admin key and where it was found, or the last place that was looked at. */
export interface FoundAdminKey {
  readonly key: Secret | undefined;
  readonly keySource: string;
  readonly kind: "flag" | "variable" | "data folder";
}

/** Why a gateway refuses an admin key, as far as its origin tells, and what to do. */
export function refusedAdminKey({ keySource, kind }: Omit<FoundAdminKey, "key">, url: string): { readonly message: string; readonly mend: string } {
  const configured = "the key that the configuration names (`admin.key`, `general_settings.master_key`)";
  if (kind === "variable") return { message: `TOLLGATE_ADMIN_KEY is not the admin key of the gateway at ${url}.`, mend: `Set it to ${configured}; if it names none, unset it and point --data-dir at the gateway's data folder.` };
  if (kind === "flag") return { message: `The key in ${keySource} is not the admin key of the gateway at ${url}.`, mend: `Put into it ${configured}; if it names none, the key is in the file ${adminKeyFileName} of the gateway's data folder.` };
  return {
    message: `The admin key in ${keySource} is not the one that the gateway at ${url} takes: its configuration names another, or it runs on another data folder.`,
    mend: `Set TOLLGATE_ADMIN_KEY to ${configured}; if it names none, point --data-dir at the gateway's data folder.`,
  };
}

/**
 * The admin key by flag, variable or data folder.
 *
 * @returns without a key when there is none
 * @throws CliError when a file that was named is not there, or one that is there holds no key
 */
export async function findAdminKey(options: Pick<ConnectionOptions, "adminKeyFile" | "dataDir">, context: CliContext): Promise<FoundAdminKey> {
  if (options.adminKeyFile !== undefined) {
    const path = resolve(context.cwd, options.adminKeyFile);
    const key = await readKeyFile(path);
    if (key === undefined) throw usageError(`--admin-key-file: there is no file ${path}.`);
    return { key, keySource: path, kind: "flag" };
  }
  const variable = context.env.TOLLGATE_ADMIN_KEY?.trim();
  if (variable !== undefined && variable !== "") return { key: new Secret(variable), keySource: "TOLLGATE_ADMIN_KEY", kind: "variable" };
  const path = resolve(context.cwd, options.dataDir, adminKeyFileName);
  return { key: await readKeyFile(path), keySource: path, kind: "data folder" };
}
