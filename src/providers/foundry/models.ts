/**
 * Names of Claude deployments in Microsoft Foundry. An operator may choose them; by default they are Anthropic's names without a
 * date (`claude-haiku-4-5`).
 *
 * https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry, "API model IDs and deployments", checked
 * 2026-11.
 */

const dated = /^(claude-(?:opus|sonnet|haiku|fable|mythos)-.+)-20\d{6}$/;

/** @param claudeName as Anthropic's API has it; other names stay as they are */
export function deploymentName(claudeName: string): string {
  return claudeName.replace(dated, "$1");
}
