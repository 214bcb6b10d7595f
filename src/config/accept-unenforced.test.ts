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
litellm_settings: {max_parallel_requests: 5}
general_settings: {master_key: os.environ/MASTER}
`;

function errorsOf(result: LoadResult): readonly string[] {
  return result.ok ? [] : result.errors.map(({ file, line, message }) => `${file}:${line}: ${message}`);
}

describe("--accept-unenforced", () => {
  it("takes names bare, with their section, and by their path", () => {
    for (const names of [["mock_response", "max_parallel_requests"], ["model_list.litellm_params.mock_response", "litellm_settings.max_parallel_requests"]]) {
      const result = load(restricting, names);
      expect(errorsOf(result)).toEqual([]);
      expect(result.ok && result.config.warnings.some(({ file }) => file === "--accept-unenforced")).toBe(false);
    }
  });

  it("refuses an unknown name, with the one that was meant and those that this file restricts", () => {
    const refused = errorsOf(load(restricting, ["mock_response", "max_parallel_requests", "max_parallel_reqests"]));
    expect(refused).toEqual(["--accept-unenforced:0: `max_parallel_reqests` is no restriction of this file; did you mean `max_parallel_requests`? It restricts by: mock_response, max_parallel_requests"]);
    expect(errorsOf(load(restricting, ["mock_response", "max_parallel_requests", "everything"]))).toEqual(["--accept-unenforced:0: `everything` is no restriction of this file, which restricts by: mock_response, max_parallel_requests"]);
  });

  it("reports a slip beside the restriction that it leaves unaccepted, in one pass", () => {
    const refused = errorsOf(load(restricting, ["mock_response", "max_parallel_reqests"]));
    expect(refused).toHaveLength(2);
    expect(refused.some((line) => line.startsWith("config.yaml:2:"))).toBe(true);
    expect(refused.some((line) => line.startsWith("--accept-unenforced:0:"))).toBe(true);
  });

  it("says so where the file restricts nothing at all, and does not suggest what would be refused as well", () => {
    const text = "model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k}}]\ngeneral_settings: {master_key: os.environ/MASTER}\n";
    expect(errorsOf(load(text, ["max_parallel_reqests"]))).toEqual(["--accept-unenforced:0: `max_parallel_reqests` is no restriction of this file, which has none that would have to be accepted"]);
  });

  it("only warns of a restriction that the build knows and the file does not switch on, so that one command serves several files", () => {
    const result = load(restricting, ["mock_response", "max_parallel_requests", "mock_timeout", "general_settings.allowed_ips"]);
    expect(errorsOf(result)).toEqual([]);
    const warned = result.ok ? result.config.warnings.filter(({ file }) => file === "--accept-unenforced").map(({ message }) => message) : [];
    expect(warned).toEqual([expect.stringContaining("`mock_timeout`"), expect.stringContaining("`general_settings.allowed_ips`")]);
  });

  it("refuses any name beside a tollgate.yaml, and beside no file, which have nothing to accept", () => {
    expect(errorsOf(load("admin: {key: '${MASTER}'}\nproviders: {demo: {kind: demo}}\nmodels: [{name: claude-*, provider: demo}]\n", ["mock_response"]))).toEqual(["--accept-unenforced:0: `mock_response` means nothing here: it is for LiteLLM's files, and config.yaml is none"]);
    expect(errorsOf(defaultConfig({ env, providerSchemas, accept: ["mock_response"] }))).toEqual(["--accept-unenforced:0: `mock_response` means nothing here: it is for LiteLLM's files, and the environment is none"]);
  });
});
