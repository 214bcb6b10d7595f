/** Guarantee: a fallback that nothing serves stops the start with its place, and a key that decides nothing is remarked on. */
import { describe, expect, it } from "vitest";
import { providers } from "../providers/registry.ts";
import { loadConfig, type LoadResult } from "./load.ts";

const providerSchemas = new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));

function load(models: string, more = ""): LoadResult {
  const text = `providers: {one: {kind: anthropic, api_key: k}, two: {kind: anthropic, api_key: l}}\nmodels: [${models}]\n${more}\n`;
  return loadConfig({ path: "tollgate.yaml", env: {}, readFile: () => text, providerSchemas, accept: [], allowInsecureDevKey: false });
}
const faults = (...file: Parameters<typeof load>): readonly string[] => {
  const result = load(...file);
  return result.ok ? [] : result.errors.map(({ path, line, column, message }) => `${line}:${column} ${path}: ${message}`);
};
const remarks = (...file: Parameters<typeof load>): readonly string[] => {
  const result = load(...file);
  return result.ok ? result.config.warnings.filter(({ message }) => /^decides? nothing/.test(message)).map(({ path, message }) => `${path}: ${message}`) : ["does not load"];
};
const small = "{name: claude-small, provider: one, aliases: [little]}";

describe("fallbacks", () => {
  it("name what is served: a model, an alias, or what a pattern serves", () => {
    expect(faults(`{name: claude-x, provider: one, fallbacks: [claude-small, little, old-x]}, ${small}, {name: "old-*", provider: one}`, "routing: {default_fallbacks: [little]}")).toEqual([]);
  });

  it.each([
    ["fallbacks", `{name: claude-x, provider: one, fallbacks: [claude-smal]}, ${small}`, "", "2:54 models[0].fallbacks[0]: nothing serves `claude-smal`; did you mean `claude-small`?"],
    ["context_window_fallbacks", `${small}, {name: claude-x, provider: one, context_window_fallbacks: [claude-small, other]}`, "", "models[1].context_window_fallbacks[1]: nothing serves `other`"],
    ["a fallback to itself", `{name: claude-x, provider: one, content_policy_fallbacks: [claude-x]}`, "", "models[0].content_policy_fallbacks[0]: is the model itself"],
    ["a fallback to itself by an alias", "{name: claude-small, provider: one, aliases: [little], fallbacks: [little]}", "", "models[0].fallbacks[0]: is the model itself"],
    ["everybody's", small, "routing: {default_fallbacks: [other]}", "3:31 routing.default_fallbacks[0]: nothing serves `other`"],
  ])("that cannot step in are an error: %s", (_, models, more, message) => {
    expect(faults(models, more)).toEqual([expect.stringContaining(message)]);
  });
});

describe("keys that decide nothing", () => {
  it("are the choice among one target, weights without `weighted`, and tags that nobody looks at", () => {
    expect(remarks("{name: claude-x, provider: one, strategy: weighted, weight: 2, priority: 3}")).toEqual(["models[0].strategy", "models[0].weight", "models[0].priority"].map((path) => `${path}: decides nothing: this model has one target`));
    expect(remarks("{name: claude-x, targets: [{provider: one, weight: 2}, {provider: two, tags: [a]}]}")).toEqual([
      "models[0].targets[0].weight: decides nothing: the model's `strategy` is not `weighted`",
      "models[0].targets[1].tags: decide nothing: `routing.tag_match` is `off`",
    ]);
    expect(remarks("{name: claude-x, strategy: weighted, targets: [{provider: one, weight: 2}, {provider: two, tags: [a], priority: 2}]}", "routing: {tag_match: any}")).toEqual([]);
  });
});
