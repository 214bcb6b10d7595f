/** The checks of `doctor` on Claude Code: its version, where its settings lead it, and which credentials it would send. */
import { baseUrlProblem, cloudSwitches, type ClaudeSettings } from "./claude-environment.ts";
import type { Environment } from "./context.ts";
import { fail, ok, skip, warn, type Finding } from "./doctor-finding.ts";

/** Versions that the test suite runs; newer and older ones in between are expected to work. */
export const testedClientVersions = ["0.2.126", "1.0.33", "2.1.330"] as const;

/**
 * @param binary path of `claude`; undefined when it is not on PATH
 * @param version its answer to `--version`, empty when it gave none
 */
export function checkClientVersion(binary: string | undefined, version: string): Finding {
  if (binary === undefined) return skip("claude", "Claude Code is not on PATH.");
  const number = /\d+\.\d+\.\d+/.exec(version)?.[0];
  if (number === undefined) return fail("claude", `${binary} does not tell its version.`, "Run `claude --version` and mend what it reports.");
  const oldest = testedClientVersions[0];
  if (compareVersions(number, oldest) < 0) return warn("claude", `Claude Code ${number} is older than ${oldest}, the oldest that is tested.`, "Run `claude update`.");
  return ok("claude", `Claude Code ${number} (tested: ${testedClientVersions.join(", ")}).`);
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  for (let index = 0; index < 3; index++) {
    const difference = (left![index] ?? 0) - (right![index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** A variable as the client will see it, and who sets it. */
interface Effective {
  readonly value: string;
  readonly source: string;
}

/**
 * Base URL and credentials as the client resolves them: settings files over the shell, later files over earlier ones.
 *
 * @param gateway root of the gateway it should reach
 */
export function checkClientSettings(env: Environment, files: readonly ClaudeSettings[], gateway: string): readonly Finding[] {
  const broken = files.filter((file) => file.isBroken).map((file) => fail("settings", `${file.path} is not JSON.`, "Mend it, or move it away: Claude Code cannot use it."));
  const effective = effectiveVariables(env, files);
  const baseUrl = effective.get("ANTHROPIC_BASE_URL");
  if (baseUrl === undefined) {
    return [...broken, skip("base URL", `ANTHROPIC_BASE_URL is not set here; \`tollgate claude\` sets it, or \`export ANTHROPIC_BASE_URL=${gateway}\`.`)];
  }
  const problem = baseUrlProblem(baseUrl.value, gateway);
  const base =
    problem === undefined
      ? ok("base URL", `${baseUrl.value} (${baseUrl.source})`)
      : { check: "base URL", level: problem.level, message: `${baseUrl.value} (${baseUrl.source}): ${problem.message}`, mend: `${problem.mend} in ${baseUrl.source}.` };
  return [...broken, base, ...shadowed(env, files), ...checkCloudSwitches(effective), ...checkCredentials(effective, files)];
}

const watchedNames = ["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"] as const;

function effectiveVariables(env: Environment, files: readonly ClaudeSettings[]): ReadonlyMap<string, Effective> {
  const layers = [{ env, source: "the environment" }, ...files.map((file) => ({ env: file.env, source: file.path }))];
  const result = new Map<string, Effective>();
  for (const layer of layers) {
    for (const [name, value] of Object.entries(layer.env)) if (value !== undefined && value !== "") result.set(name, { value, source: layer.source });
  }
  return result;
}

/** Shell variables that have no effect because a settings file has them too. */
function shadowed(env: Environment, files: readonly ClaudeSettings[]): readonly Finding[] {
  return watchedNames.flatMap((name) => {
    const own = env[name];
    const file = files.findLast((candidate) => (candidate.env[name] ?? "") !== "");
    if (own === undefined || own === "" || file === undefined || file.env[name] === own) return [];
    return [warn("settings", `${file.path} sets ${name} to something else than this shell, and wins.`, `Take it out of ${file.path}, or out of the shell.`)];
  });
}

function checkCloudSwitches(effective: ReadonlyMap<string, Effective>): readonly Finding[] {
  const values = Object.fromEntries([...effective].map(([name, { value }]) => [name, value]));
  return cloudSwitches(values).map((name) => fail("settings", `${name} is set (${effective.get(name)!.source}): Claude Code then ignores ANTHROPIC_BASE_URL.`, `Unset ${name}.`));
}

function checkCredentials(effective: ReadonlyMap<string, Effective>, files: readonly ClaudeSettings[]): readonly Finding[] {
  const token = effective.get("ANTHROPIC_AUTH_TOKEN");
  const apiKey = effective.get("ANTHROPIC_API_KEY");
  const helper = files.findLast((file) => file.hasApiKeyHelper);
  const findings: Finding[] = [];
  for (const [name, credential] of [["ANTHROPIC_AUTH_TOKEN", token], ["ANTHROPIC_API_KEY", apiKey]] as const) {
    if (credential?.value.startsWith("sk-ant-") === true) {
      findings.push(warn("credentials", `${name} (${credential.source}) is a key of Anthropic's, and the client sends it to the gateway, which does not use it.`, `Unset ${name} where Claude Code runs.`));
    }
  }
  if (token !== undefined && apiKey !== undefined && token.value !== apiKey.value) {
    findings.push(warn("credentials", `ANTHROPIC_AUTH_TOKEN (${token.source}) and ANTHROPIC_API_KEY (${apiKey.source}) are both set, and both are sent; the token is billed if it is valid.`, "Keep one of them."));
  }
  if (helper !== undefined && (token !== undefined || apiKey !== undefined)) {
    findings.push(warn("credentials", `${helper.path} has an apiKeyHelper beside a fixed credential, and both are sent.`, "Keep one of them."));
  }
  if (token === undefined && apiKey === undefined && helper === undefined) {
    findings.push(fail("credentials", "Claude Code has no key for the gateway.", "Set ANTHROPIC_AUTH_TOKEN to a key that `tollgate keys create` made."));
  }
  return findings.length > 0 ? findings : [ok("credentials", token !== undefined ? `ANTHROPIC_AUTH_TOKEN (${token.source})` : apiKey !== undefined ? `ANTHROPIC_API_KEY (${apiKey.source})` : `apiKeyHelper (${helper!.path})`)];
}
