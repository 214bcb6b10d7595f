// Guarantee: a name given to --accept-unenforced that means nothing is never taken in silence: a slip is an error that names the
// flag, the likely name and what this file restricts; a known name that is not needed here is a warning.
import { describe, expect, it } from "vitest";
import { providers } from "../providers/registry.ts";
import { defaultConfig, loadConfig, type LoadResult } from "./load.ts";

const providerSchemas = new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));
const env = { MASTER: "sk-Zq81mKp0Lx72VbNw" };

function load(text: string, accept: readonly string[]): LoadResult {
  return loadConfig({ path: "config.yaml", env, readFile: () => text, providerSchemas, accept, allowInsecureDevKey: false });
}

const restricting = `model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k, mock_response: hi}}]
litellm_settings: {blocked_user_list: blocked.txt}
general_settings: {master_key: os.environ/MASTER}
`;

function errorsOf(result: LoadResult): readonly string[] {
  return result.ok ? [] : result.errors.map(({ file, line, message }) => `${file}:${line}: ${message}`);
}

describe("--accept-unenforced", () => {
  it("takes names bare, with their section, and by their path", () => {
    for (const names of [["mock_response", "blocked_user_list"], ["model_list.litellm_params.mock_response", "litellm_settings.blocked_user_list"]]) {
      const result = load(restricting, names);
      expect(errorsOf(result)).toEqual([]);
      expect(result.ok && result.config.warnings.some(({ file }) => file === "--accept-unenforced")).toBe(false);
    }
  });

  it("refuses an unknown name, with the one that was meant and those that this file restricts", () => {
    const refused = errorsOf(load(restricting, ["mock_response", "blocked_user_list", "blocked_user_lst"]));
    expect(refused).toEqual(["--accept-unenforced:0: `blocked_user_lst` is no restriction of this file; did you mean `blocked_user_list`? It restricts by: mock_response, blocked_user_list"]);
    expect(errorsOf(load(restricting, ["mock_response", "blocked_user_list", "everything"]))).toEqual(["--accept-unenforced:0: `everything` is no restriction of this file, which restricts by: mock_response, blocked_user_list"]);
  });

  it("reports a slip beside the restriction that it leaves unaccepted, in one pass", () => {
    const refused = errorsOf(load(restricting, ["mock_response", "blocked_user_lst"]));
    expect(refused).toHaveLength(2);
    expect(refused.some((line) => line.startsWith("config.yaml:2:"))).toBe(true);
    expect(refused.some((line) => line.startsWith("--accept-unenforced:0:"))).toBe(true);
  });

  it("says so where the file restricts nothing at all, and does not suggest what would be refused as well", () => {
    const text = "model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k}}]\ngeneral_settings: {master_key: os.environ/MASTER}\n";
    expect(errorsOf(load(text, ["blocked_user_lst"]))).toEqual(["--accept-unenforced:0: `blocked_user_lst` is no restriction of this file, which has none that would have to be accepted"]);
  });

  it("only warns of a restriction that the build knows and the file does not switch on, so that one command serves several files", () => {
    const result = load(restricting, ["mock_response", "blocked_user_list", "mock_timeout", "general_settings.allowed_ips"]);
    expect(errorsOf(result)).toEqual([]);
    const warned = result.ok ? result.config.warnings.filter(({ file }) => file === "--accept-unenforced").map(({ message }) => message) : [];
    expect(warned).toEqual([expect.stringContaining("`mock_timeout`"), expect.stringContaining("`general_settings.allowed_ips`")]);
  });

  it("refuses any name beside a tollgate.yaml, and beside no file, which have nothing to accept", () => {
    expect(errorsOf(load("admin: {key: '${MASTER}'}\nproviders: {demo: {kind: demo}}\nmodels: [{name: claude-*, provider: demo}]\n", ["mock_response"]))).toEqual(["--accept-unenforced:0: `mock_response` means nothing here: it is for LiteLLM's files, and config.yaml is none"]);
    expect(errorsOf(defaultConfig({ env, providerSchemas, accept: ["mock_response"] }))).toEqual(["--accept-unenforced:0: `mock_response` means nothing here: it is for LiteLLM's files, and the environment is none"]);
  });
});
