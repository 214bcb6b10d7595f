/**
 * Brings the many spellings of one Claude model to its canonical name, by listed rules only. A name that only resembles a
 * known one stays unknown: guessing by prefix once gave new models their predecessors' prices.
 */

/** A name taken apart. */
export interface ModelName {
  /** Without place, date and suffixes; aliases are not yet resolved. */
  readonly model: string;
  /** What a Bedrock name says about its region; undefined for names of other places. */
  readonly bedrockGeo: "global" | "regional" | "us-gov" | undefined;
}

const placePrefix = /^(?:anthropic|bedrock|vertex_ai)\//;
const bedrockArn = /^arn:aws[a-z-]*:bedrock:[^/]*:(?:inference-profile|foundation-model)\//;
const bedrockName = /^(?:(global|us|eu|jp|au|apac|us-gov)\.)?anthropic\.(claude-.+?)(?:-v\d+)?(?::\d+)?$/;
const contextSuffix = /\[1m\]$/;
const atVersion = /@(?:\d{8}|default|latest)$/;
const dateOrLatest = /-(?:\d{8}|latest)$/;

/**
 * `claude-sonnet-4-5-20250929`, `claude-sonnet-4-5@20250929`, `claude-sonnet-4-5[1m]`,
 * `us.anthropic.claude-sonnet-4-5-20250929-v1:0` and `anthropic/claude-sonnet-4-5` are all `claude-sonnet-4-5`.
 * Other names come back as they are, apart from the same endings.
 *
 * @source https://platform.claude.com/docs/en/about-claude/models/model-ids-and-versions, checked 2026-11-23
 */
export function normalizeModelName(name: string): ModelName {
  const plain = name.replace(placePrefix, "").replace(bedrockArn, "").replace(contextSuffix, "");
  const bedrock = bedrockName.exec(plain);
  if (bedrock === null) return { model: withoutVersion(plain), bedrockGeo: undefined };
  const [, prefix, model = ""] = bedrock;
  return { model: withoutVersion(model), bedrockGeo: prefix === "global" || prefix === "us-gov" ? prefix : "regional" };
}

/** `opus`, `sonnet`, … of a canonical Claude name in any order of its parts; undefined for other models, empty for a Claude name without family. */
export function claudeFamily(model: string): string | undefined {
  if (!/^claude(?:-|$)/.test(model)) return undefined;
  return /-(opus|sonnet|haiku|fable|mythos)(?=-|$)/.exec(model)?.[1] ?? "";
}

function withoutVersion(model: string): string {
  return model.replace(atVersion, "").replace(dateOrLatest, "");
}
