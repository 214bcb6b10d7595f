/**
 * Vertex AI's names of Claude models. From generation 4.6 on they are the same everywhere; before, Anthropic's date comes behind
 * an `@`, and Anthropic's aliases without a date do not exist.
 *
 * Table: https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai, "API model IDs"; naming:
 * https://platform.claude.com/docs/en/about-claude/models/model-ids-and-versions. Checked 2026-11.
 */

/** Names whose Vertex id does not follow from the rule for dated ones. */
const named: Readonly<Record<string, string>> = {
  "claude-opus-4-5": "claude-opus-4-5@20251101",
  "claude-opus-4-1": "claude-opus-4-1@20250805",
  "claude-opus-4-0": "claude-opus-4@20250514",
  "claude-opus-4": "claude-opus-4@20250514",
  "claude-sonnet-4-5": "claude-sonnet-4-5@20250929",
  "claude-sonnet-4-0": "claude-sonnet-4@20250514",
  "claude-sonnet-4": "claude-sonnet-4@20250514",
  "claude-haiku-4-5": "claude-haiku-4-5@20251001",
  "claude-3-7-sonnet-latest": "claude-3-7-sonnet@20250219",
  "claude-3-5-haiku-latest": "claude-3-5-haiku@20241022",
  // The second version of this model has the version in its name there, not only the date.
  "claude-3-5-sonnet-latest": "claude-3-5-sonnet-v2@20241022",
  "claude-3-5-sonnet-20241022": "claude-3-5-sonnet-v2@20241022",
};

const dated = /^(claude-.+)-(20\d{6})$/;

/** @param claudeName as Anthropic's API has it; a Vertex id, or a name that is unknown, stays as it is */
export function vertexModelName(claudeName: string): string {
  const known = Object.hasOwn(named, claudeName) ? named[claudeName] : undefined;
  return known ?? claudeName.replace(dated, "$1@$2");
}
