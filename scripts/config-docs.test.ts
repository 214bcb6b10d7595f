// Guarantee: the generated pages and the JSON Schema are what the code gives, and the worked example loads.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { initTemplate } from "../src/config/init-template.ts";
import { loadConfig } from "../src/config/load.ts";
import { providers } from "../src/providers/registry.ts";
import { generatedFiles, workedExample } from "./config-docs.ts";

const root = join(import.meta.dirname, "..", "docs");

it.each(Object.entries(generatedFiles()))("%s is up to date", (path, text) => {
  expect(readFileSync(join(root, path), "utf8")).toBe(text);
});

it.each([
  ["the worked example", workedExample],
  ["the file that init writes", initTemplate],
])("%s loads", (_, text) => {
  const env = new Proxy({} as Record<string, string>, { get: () => "sk-Zq81mKp0Lx72VbNw93TdRy45HcEo", has: () => true, ownKeys: () => [] });
  const result = loadConfig({
    path: "tollgate.yaml",
    env,
    readFile: (path) => (path.endsWith("tollgate.yaml") ? text : "sk-Zq81mKp0Lx72VbNw93TdRy45HcEo"),
    providerSchemas: new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings])),
    accept: [],
    allowInsecureDevKey: false,
  });
  expect(result.ok ? [] : result.errors).toEqual([]);
});
