/** Rules that hold for a configuration whatever file it came from, and remarks on what will surprise its users. */
import type { Budget } from "../ledger/budget.ts";
import type { GatewayConfig, ListenConfig, ModelConfig } from "./gateway-config.ts";
import { isLoopbackHost } from "./network.ts";
import { weaknessOf } from "./weak-secrets.ts";

/**
 * Models that Claude Code asks for when nobody chose one. Source: the model table inside client 2.1.330, read 2026-11-23.
 * They change with its releases; this list only feeds a warning.
 */
export const clientDefaultModels = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"] as const;

/** Where in the file a check's subject stands; the caller knows both formats' words for it. */
export interface Finding {
  readonly subject: "metrics.host" | "models" | { readonly model: number } | { readonly alias: string };
  readonly message: string;
}

/** Why an admin key may not guard this listener; undefined when it may. `--insecure-dev-key` forgives it on loopback. */
export function adminKeyFault(key: string, host: string, allowInsecureDevKey: boolean): string | undefined {
  const weakness = weaknessOf(key);
  if (weakness === undefined || (allowInsecureDevKey && isLoopbackHost(host))) return undefined;
  return `this secret ${weakness}; make one with \`openssl rand -hex 32\`${isLoopbackHost(host) ? ", or start with --insecure-dev-key while you try things out" : ""}`;
}

/** Why a host may not be listened on; undefined when it may. */
export function publicBindFault(listen: Pick<ListenConfig, "host" | "isPublic">): string | undefined {
  if (listen.isPublic || isLoopbackHost(listen.host)) return undefined;
  return "other machines can reach this address; set `listen.public: true` to mean it, or listen on 127.0.0.1";
}

/** Why budgets cannot name the models they do in place of others, by their position. */
export function downgradeFaults(budgets: readonly Pick<Budget, "downgradeModel">[], config: Pick<GatewayConfig, "models" | "modelAliases">): ReadonlyMap<number, string> {
  const faults = new Map<number, string>();
  for (const [index, { downgradeModel }] of budgets.entries()) {
    if (downgradeModel !== undefined && !isServed(downgradeModel, config)) faults.set(index, `nothing serves \`${downgradeModel}\``);
  }
  return faults;
}

const noAliases: ReadonlyMap<string, unknown> = new Map<string, unknown>();

/** Remarks on a configuration that is valid. */
export function findSurprises(config: Pick<GatewayConfig, "models" | "modelAliases" | "metrics">): readonly Finding[] {
  const findings: Finding[] = [];
  const hidden = "Claude Code's model discovery shows only names with `claude` or `anthropic` in them";
  for (const [index, model] of config.models.entries()) {
    const unseen = [model.name, ...model.aliases].filter((name) => !name.includes("*") && !isDiscoverable(name));
    if (unseen.length > 0) findings.push({ subject: { model: index }, message: `${unseen.map((name) => `\`${name}\``).join(", ")} will not be offered: ${hidden}` });
  }
  for (const [alias, { model, isHidden }] of config.modelAliases) {
    if (!isHidden && !isDiscoverable(alias)) findings.push({ subject: { alias }, message: `\`${alias}\` will not be offered: ${hidden}` });
    // An alias of an alias is not followed.
    if (!isServed(model, { ...config, modelAliases: noAliases })) findings.push({ subject: { alias }, message: `nothing serves \`${model}\`, which \`${alias}\` stands for` });
  }
  const missing = clientDefaultModels.filter((name) => !isServed(name, config));
  if (missing.length > 0) {
    const names = missing.map((name) => `\`${name}\``).join(", ");
    findings.push({ subject: "models", message: `nothing serves ${names}, which Claude Code asks for by default; add ${missing.length === 1 ? "it" : "them"}, or have clients set ANTHROPIC_MODEL and ANTHROPIC_DEFAULT_{OPUS,SONNET,HAIKU}_MODEL` });
  }
  if (config.metrics !== undefined && !isLoopbackHost(config.metrics.host)) findings.push({ subject: "metrics.host", message: "whoever reaches this address can read the metrics without a key" });
  return findings;
}

function isDiscoverable(name: string): boolean {
  return /claude|anthropic/i.test(name);
}

/** Whether some model, alias or pattern answers to a name. */
export function isServed(name: string, config: { readonly models: readonly ModelConfig[]; readonly modelAliases: ReadonlyMap<string, unknown> }): boolean {
  return config.modelAliases.has(name) || config.models.some((model) => matchesPattern(model.name, name) || model.aliases.includes(name));
}

/** Whether a public name, or a pattern with one `*`, covers `name`. */
export function matchesPattern(pattern: string, name: string): boolean {
  const star = pattern.indexOf("*");
  if (star === -1) return pattern === name;
  const [prefix, suffix] = [pattern.slice(0, star), pattern.slice(star + 1)];
  return name.length >= prefix.length + suffix.length && name.startsWith(prefix) && name.endsWith(suffix);
}
