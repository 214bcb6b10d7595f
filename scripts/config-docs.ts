/**
 * Writes `docs/config.schema.json`, `docs/configuration.md` and the key table in `docs/litellm.md` from the schema and the
 * key table; `--check` only compares, and fails when one of them is stale.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { keyTableMarkdown } from "../src/config/describe.ts";
import { configSchema } from "../src/config/schema.ts";
import { providers } from "../src/providers/registry.ts";
import { litellmPage } from "./config-docs-litellm.ts";

/** A JSON Schema, as far as it is read here. */
interface JsonSchema {
  title?: string;
  description?: string;
  default?: unknown;
  type?: string | readonly string[];
  enum?: readonly unknown[];
  const?: string;
  anyOf?: JsonSchema[];
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: JsonSchema | boolean;
}

/** The schema of `tollgate.yaml`, each provider kind with its own settings. */
export function jsonSchema(): JsonSchema {
  const schema = plainSchema(configSchema);
  const kinds = Object.entries(providers).map(([kind, provider]) => {
    const own = plainSchema(provider.settings);
    delete (own as Record<string, unknown>)["$schema"];
    return { ...own, title: kind, properties: { kind: { const: kind, description: "Which provider this is." }, ...own.properties }, required: ["kind", ...(own.required ?? [])] };
  });
  const entry = schema.properties?.["providers"];
  if (entry !== undefined) entry.additionalProperties = { anyOf: kinds };
  const { $schema, ...rest } = schema as JsonSchema & { $schema?: string };
  return { ...($schema === undefined ? {} : { $schema }), title: "tollgate.yaml", ...rest } as JsonSchema;
}

function plainSchema(schema: z.ZodType): JsonSchema {
  return simplified(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema);
}

/** Without branches that JSON cannot express (they would accept everything), and without the empty defaults of sections. */
function simplified(schema: JsonSchema): JsonSchema {
  const { anyOf, properties, items, additionalProperties, ...rest } = schema;
  if (rest.type === "object" && JSON.stringify(rest.default) === "{}") delete rest.default;
  const branches = anyOf?.map(simplified).filter((branch) => Object.keys(branch).length > 0);
  return {
    ...(branches?.length === 1 ? branches[0] : {}),
    ...rest,
    ...(branches !== undefined && branches.length > 1 ? { anyOf: branches } : {}),
    ...(properties === undefined ? {} : { properties: Object.fromEntries(Object.entries(properties).map(([name, member]) => [name, simplified(member)])) }),
    ...(items === undefined ? {} : { items: simplified(items) }),
    ...(additionalProperties === undefined ? {} : { additionalProperties: typeof additionalProperties === "boolean" ? additionalProperties : simplified(additionalProperties) }),
  };
}

interface Row {
  readonly key: string;
  readonly schema: JsonSchema;
  readonly isRequired: boolean;
}

/** Every key below a schema, sections before their members. */
function rowsOf(schema: JsonSchema, prefix: string): readonly Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]): readonly Row[] => {
    const key = prefix === "" ? name : `${prefix}.${name}`;
    const row: Row = { key, schema: member, isRequired: schema.required?.includes(name) === true };
    if (name === "providers" && prefix === "") return [row];
    const items = member.items?.properties === undefined ? [] : rowsOf(member.items, `${key}[]`);
    const named = typeof member.additionalProperties === "object" && member.additionalProperties.properties !== undefined ? rowsOf(member.additionalProperties, `${key}.NAME`) : [];
    return [row, ...rowsOf(member, key), ...items, ...named];
  });
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(({ key, schema, isRequired }) => `| \`${key}\` | ${typeName(schema)} | ${isRequired ? "required" : defaultText(schema)} | ${schema.description ?? ""} |`);
  return ["| Key | Type | Default | Meaning |", "|---|---|---|---|", ...lines].join("\n");
}

function typeName(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(", ");
  if (schema.properties !== undefined) return "mapping";
  if (schema.items !== undefined) return schema.items.properties === undefined ? "list" : "list of mappings";
  if (schema.additionalProperties !== undefined && schema.additionalProperties !== false) return "mapping by name";
  if (schema.title !== undefined) return schema.title;
  const types = schema.type ?? schema.anyOf?.map(({ type }) => type).filter((type) => type !== undefined) ?? "";
  return [types].flat().join(" or ");
}

function defaultText({ default: value }: JsonSchema): string {
  if (value === undefined || (typeof value === "object" && value !== null)) return "";
  return `\`${JSON.stringify(value).replaceAll('"', "")}\``;
}

/** A file that shows most of it; the tests load it. */
export const workedExample = `listen:
  host: 0.0.0.0
  public: true
  trusted_proxies: [10.0.0.0/8]

admin:
  key: \${TOLLGATE_ADMIN_KEY}

providers:
  anthropic:
    kind: anthropic
    api_key: \${ANTHROPIC_API_KEY}
  research:
    kind: anthropic
    api_key: \${file:secrets/research-key}

models:
  - name: claude-*
    provider: anthropic
  - name: claude-research
    access_groups: [research]
    targets:
      - provider: research
        model: claude-opus-5-5
        timeouts: {first_byte_stream: 5m}
      - provider: anthropic
        model: claude-opus-5-5

prices:
  multiplier: 1.1

store:
  sync: full

metrics:
  port: 9464
`;

/** The reference page. */
export function configurationPage(): string {
  const schema = jsonSchema();
  const entry = schema.properties?.["providers"]?.additionalProperties;
  const kinds = typeof entry === "object" ? (entry.anyOf ?? []) : [];
  const providerTables = kinds.map((kind) => `### \`kind: ${kind.title ?? ""}\`\n\n${table(rowsOf(kind, "providers.NAME"))}`);
  return [
    "# Configuration",
    "",
    "`tollgate serve` reads `tollgate.yaml` in its working directory, or the file that `--config` names; a LiteLLM `config.yaml` works as it is,",
    "see [litellm.md](litellm.md). `tollgate init` writes a commented file to start from, and `tollgate config check` shows every error of a file",
    "with line and column, without starting anything. This page is generated by `node scripts/config-docs.ts` from the schema in",
    "`src/config/schema.ts`; [config.schema.json](config.schema.json) is the same for editors. To use it there, begin the file with",
    "`# yaml-language-server: $schema=config.schema.json`, with the path to that file.",
    "",
    "## Rules",
    "",
    "- Without a file, or with one that has neither `providers` nor `models`, both are made from the environment: `ANTHROPIC_API_KEY`, else",
    "  `ANTHROPIC_AUTH_TOKEN`, gives Anthropic with every `claude-*` model; without either the built-in simulation serves them. A token is left",
    "  alone when `ANTHROPIC_BASE_URL` names this machine: then it is a developer's key of the gateway itself.",
    "- `${NAME}` in a value is an environment variable, `${file:path}` the text of a file without its last line break; `$${` is a plain `${`. What",
    "  is missing or empty is an error. In `{…}` and `[…]` put such values in quotes.",
    "- Paths are relative to the folder of the configuration file.",
    "- Durations are `500ms`, `5s`, `2m`, `1h`, or a number of milliseconds. Sizes are `32MiB`, `500KB`, or a number of bytes. Prices are US dollars",
    "  per million tokens, read exactly.",
    "- Unknown keys, doubled keys, weak or example admin keys, and a `host` that others can reach without `public: true` are errors: the gateway does",
    "  not start. `--insecure-dev-key` lets a weak admin key through while only this machine can reach the gateway.",
    "- A public name that several models could serve goes to the exact name first, then to the longest pattern.",
    "",
    "## Example",
    "",
    "```yaml",
    workedExample.trimEnd(),
    "```",
    "",
    "## Keys",
    "",
    table(rowsOf(schema, "")),
    "",
    "## Providers",
    "",
    providerTables.join("\n\n"),
    "",
  ].join("\n");
}

/** What each generated file should hold. */
export function generatedFiles(): Readonly<Record<string, string>> {
  return {
    "config.schema.json": `${JSON.stringify(jsonSchema(), undefined, 2)}\n`,
    "configuration.md": configurationPage(),
    "litellm.md": litellmPage(keyTableMarkdown()),
  };
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, "..", "docs");
  for (const [name, text] of Object.entries(generatedFiles())) {
    const path = join(folder, name);
    if (!process.argv.includes("--check")) writeFileSync(path, text);
    else if (!existsSync(path) || readFileSync(path, "utf8") !== text) {
      process.stderr.write(`docs/${name} is stale: run node scripts/config-docs.ts\n`);
      process.exitCode = 1;
    }
  }
}
