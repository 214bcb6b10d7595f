/**
 * Bedrock's names of Claude models, and the inference profile that serves a region.
 *
 * Ids: "API model IDs" of https://platform.claude.com/docs/en/build-with-claude/claude-on-amazon-bedrock-legacy, and the table
 * inside Claude Code 2.1.330. Profiles: the same page's columns, and the ids that BerriAI/litellm's
 * tests/test_litellm/test_claude_opus_5_config.py expects. Checked 2026-11.
 */

interface ModelRow {
  /** Anthropic's name; of models whose Bedrock id does not follow from the rule, or whose profiles are other than the usual. */
  readonly name: string;
  readonly id?: string;
  readonly profiles?: readonly string[];
}

const modern = ["us", "eu", "jp", "au", "global"] as const;

const rows: readonly ModelRow[] = [
  { name: "claude-opus-4-6", id: "anthropic.claude-opus-4-6-v1", profiles: [...modern, "apac"] },
  { name: "claude-opus-4-5-20251101", profiles: ["us", "eu", "global"] },
  { name: "claude-opus-4-1-20250805", profiles: ["us"] },
  { name: "claude-opus-4-20250514", profiles: ["us"] },
  { name: "claude-sonnet-4-20250514", profiles: ["us", "eu", "apac", "global"] },
  { name: "claude-3-7-sonnet-20250219", profiles: ["us", "eu", "apac"] },
  { name: "claude-3-5-haiku-20241022", profiles: ["us"] },
  { name: "claude-3-5-sonnet-20241022", id: "anthropic.claude-3-5-sonnet-20241022-v2:0", profiles: ["us", "apac"] },
  { name: "claude-3-5-sonnet-20240620", profiles: ["us", "eu", "apac"] },
  { name: "claude-3-haiku-20240307", profiles: ["us", "eu", "apac"] },
];

/** Anthropic's names without a date, of models that have one on Bedrock. */
const aliases: Readonly<Record<string, string>> = {
  "claude-opus-4-5": "claude-opus-4-5-20251101",
  "claude-opus-4-1": "claude-opus-4-1-20250805",
  "claude-opus-4-0": "claude-opus-4-20250514",
  "claude-opus-4": "claude-opus-4-20250514",
  "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
  "claude-sonnet-4-0": "claude-sonnet-4-20250514",
  "claude-sonnet-4": "claude-sonnet-4-20250514",
  "claude-haiku-4-5": "claude-haiku-4-5-20251001",
  "claude-3-7-sonnet-latest": "claude-3-7-sonnet-20250219",
  "claude-3-5-haiku-latest": "claude-3-5-haiku-20241022",
  "claude-3-5-sonnet-latest": "claude-3-5-sonnet-20241022",
};

/**
 * Which profile keeps a request nearest, by the beginning of the region. A region that is not here has only the global one, which
 * may serve a request anywhere. GovCloud has its own and no other.
 */
const geographies: readonly { readonly regions: RegExp; readonly prefixes: readonly string[] }[] = [
  { regions: /^us-gov-/, prefixes: ["us-gov"] },
  { regions: /^us-/, prefixes: ["us"] },
  { regions: /^eu-/, prefixes: ["eu"] },
  { regions: /^ap-northeast-[13]$/, prefixes: ["jp", "apac"] },
  { regions: /^ap-southeast-[24]$/, prefixes: ["au", "apac"] },
  { regions: /^ap-/, prefixes: ["apac"] },
];

/**
 * The id of a model by Anthropic's name. The rule, which the newest line follows: `anthropic.` before the name; a name with a date
 * (until generation 4.5) has `-v1:0` behind it.
 *
 * @param inferenceProfile `auto`, `none`, or a prefix
 * @returns what is no Claude name (a Bedrock id, an ARN) as it is
 */
export function bedrockModelName(claudeName: string, region: string, inferenceProfile: string): string {
  if (!claudeName.startsWith("claude-")) return claudeName;
  const name = Object.hasOwn(aliases, claudeName) ? aliases[claudeName]! : claudeName;
  const row = rows.find((candidate) => candidate.name === name);
  const id = row?.id ?? `anthropic.${name}${/-20\d{6}$/.test(name) ? "-v1:0" : ""}`;
  if (inferenceProfile === "none") return id;
  const prefix = inferenceProfile === "auto" ? prefixFor(region, row?.profiles ?? modern) : inferenceProfile;
  return prefix === undefined ? id : `${prefix}.${id}`;
}

function prefixFor(region: string, profiles: readonly string[]): string | undefined {
  const nearest = geographies.find(({ regions }) => regions.test(region))?.prefixes ?? [];
  // GovCloud's profiles stand in no public table, and nothing else may be used from there.
  if (nearest.includes("us-gov")) return "us-gov";
  return [...nearest, "global"].find((prefix) => profiles.includes(prefix));
}

const profilePrefix = /^(?:us|eu|apac|jp|au|ca|us-gov|global)\.(?=anthropic\.)/;

/**
 * The foundation model of an id or ARN, which is what CountTokens takes.
 *
 * @returns undefined for an application inference profile, which does not say its model
 */
export function foundationModel(upstreamModel: string): string | undefined {
  if (!upstreamModel.startsWith("arn:")) return upstreamModel.replace(profilePrefix, "");
  const [kind, ...rest] = upstreamModel.split(":").slice(5).join(":").split("/");
  const id = rest.join("/");
  if (kind === "foundation-model") return id;
  return kind === "inference-profile" && id !== "" ? id.replace(profilePrefix, "") : undefined;
}
