/** The operator's configuration as `serve` reads it: at the start, and again whenever it may have changed. */
import { readFileSync, statSync } from "node:fs";
import type { ConfigNotice, GatewayConfig } from "../config/gateway-config.ts";
import { defaultConfig, loadConfig } from "../config/load.ts";
import { configFileBytesMax } from "../kernel/bounds.ts";
import { clientLoginKinds, providers } from "../providers/registry.ts";

/** What `serve` was told of it. */
export interface ConfigSource {
  /** Absent: a configuration is made from the environment. */
  readonly configPath?: string;
  /** Override the file's `listen`. */
  readonly host?: string;
  readonly port?: number;
  /** Allows a weak admin key on loopback. */
  readonly insecureDevKey: boolean;
  /** LiteLLM keys that restrict and are knowingly not enforced. */
  readonly acceptUnenforced: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Path to text of all that was read, in the order of reading; undefined for what could not be. */
export type FilesRead = ReadonlyMap<string, string | undefined>;

export type ConfigReading = { readonly files: FilesRead } & (
  | { readonly ok: true; readonly config: GatewayConfig; /** `--host` would open it to other machines. */ readonly hostFault: string | undefined }
  | { readonly ok: false; readonly errors: readonly ConfigNotice[] }
);

/** Never throws for a bad file. */
export function readConfig(source: ConfigSource): ConfigReading {
  const { configPath, env, acceptUnenforced } = source;
  const files = new Map<string, string | undefined>();
  const readFile = (path: string): string => {
    files.set(path, undefined);
    const text = readBounded(path);
    files.set(path, text);
    return text;
  };
  const providerSchemas = new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));
  const result =
    configPath === undefined
      ? defaultConfig({ env, providerSchemas, accept: acceptUnenforced })
      : loadConfig({ path: configPath, env, readFile, providerSchemas, clientLoginKinds: clientLoginKinds(), accept: acceptUnenforced, allowInsecureDevKey: source.insecureDevKey });
  if (!result.ok) return { ok: false, errors: result.errors, files };
  const { config } = result;
  const host = source.host ?? config.listen.host;
  const isOpen = host !== config.listen.host && !isLoopback(host) && !config.listen.isPublic;
  const hostFault = isOpen ? `--host ${host} would listen beyond this machine; set listen.public: true in the configuration to mean it` : undefined;
  return { ok: true, config: { ...config, listen: { ...config.listen, host, port: source.port ?? config.listen.port } }, hostFault, files };
}

/** Texts of the same files now. */
export function readAgain(files: FilesRead): FilesRead {
  return new Map([...files.keys()].map((path) => [path, readIfThere(path)]));
}

function readIfThere(path: string): string | undefined {
  try {
    return readBounded(path);
  } catch {
    return undefined;
  }
}

/** What some program wrote by mistake must not stop every stream while it is parsed. */
function readBounded(path: string): string {
  if (statSync(path).size > configFileBytesMax) throw Object.assign(new Error("too large"), { code: "EFBIG" });
  return readFileSync(path, "utf8");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
