/** Reading a configuration without starting anything, as `config check` and `doctor` need it. */
import { readFileSync } from "node:fs";
import type { ConfigNotice, GatewayConfig } from "../config/gateway-config.ts";
import type { Environment } from "./context.ts";

/** A line of the table of a LiteLLM file's keys. */
export interface ConfigKeyVerdict {
  readonly key: string;
  readonly verdict: string;
  readonly reason: string;
}

/** A provider of a valid configuration and where its requests go. */
export interface ConfiguredPlace {
  readonly name: string;
  /** `https://host[:port]`. */
  readonly origin: string;
  /** The gateway itself plays this provider. */
  readonly isSimulated: boolean;
}

/** Everything that is to say about a file. */
export interface ConfigurationReport {
  /** Undefined when there are errors. */
  readonly config: GatewayConfig | undefined;
  readonly errors: readonly ConfigNotice[];
  readonly warnings: readonly ConfigNotice[];
  /** For LiteLLM files: each key that is there. Empty for native ones. */
  readonly keys: readonly ConfigKeyVerdict[];
  readonly places: readonly ConfiguredPlace[];
}

/** What to read, and what it may refer to. */
export interface ConfigurationSource {
  /** Absolute; undefined: made from the environment. */
  readonly path: string | undefined;
  readonly env: Environment;
  readonly acceptUnenforced: readonly string[];
}

/** Never throws for a bad file: that is an error in the report. */
export async function readConfiguration(source: ConfigurationSource): Promise<ConfigurationReport> {
  const { defaultConfig, loadConfig } = await import("../config/load.ts");
  const { clientLoginKinds, providers } = await import("../providers/registry.ts");
  const providerSchemas = new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));
  const { path, env } = source;
  const result =
    path === undefined
      ? defaultConfig({ env, providerSchemas, accept: source.acceptUnenforced })
      : loadConfig({ path, env, readFile: (file) => readFileSync(file, "utf8"), providerSchemas, clientLoginKinds: clientLoginKinds(), accept: source.acceptUnenforced, allowInsecureDevKey: false });
  const config = result.ok ? result.config : undefined;
  const places = [...(config?.providers.values() ?? [])].flatMap(({ name, kind, settings }): ConfiguredPlace[] => {
    const provider = providers[kind];
    return provider === undefined ? [] : [{ name, origin: provider.destination(settings).origin, isSimulated: kind === "demo" }];
  });
  return { config, errors: result.ok ? [] : result.errors, warnings: config?.warnings ?? [], keys: result.keys, places };
}
