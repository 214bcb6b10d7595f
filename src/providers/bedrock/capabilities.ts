/**
 * Which betas Bedrock's InvokeModel is known to take. It answers 400 "invalid beta flag" to any other, without a name, so only
 * these go. Sources are read, not probed: a row's date says when.
 */

/** One beta that may go. */
export interface BetaRow {
  readonly beta: string;
  /** Its name on Bedrock, where it has another. */
  readonly sendAs?: string;
  /** Models that know it; absent: all that are served. */
  readonly models?: RegExp;
  /** Known to be taken when tokens are counted. */
  readonly isCounted?: true;
  /** Goes where a client of Bedrock's own format sends it, and has no effect: nobody else's request gets it. */
  readonly isClientsOnly?: true;
  /** Goes in the header alone. */
  readonly isHeaderOnly?: true;
  readonly source: string;
  readonly checked: string;
}

const checked = "2026-11";
const litellm = "BerriAI/litellm litellm/anthropic_beta_headers_config.json, bedrock (commit 030dd40)";
const awsList = "AWS's list as quoted in https://github.com/BerriAI/litellm/pull/19877";
const claudeCode = "Claude Code 2.1.330 in Bedrock mode, recorded";

const generation5 = /claude-(?:opus|sonnet|haiku|fable|mythos)-5/;

export const betaRows: readonly BetaRow[] = [
  { beta: "interleaved-thinking-2025-05-14", source: `${awsList}; ${claudeCode}`, checked },
  { beta: "thinking-token-count-2026-05-13", source: claudeCode, checked },
  { beta: "effort-2025-11-24", source: `${litellm}; ${awsList}; ${claudeCode}`, checked },
  { beta: "context-1m-2025-08-07", source: `${litellm}; ${awsList}`, checked },
  // Claude Code counts with it on Bedrock.
  { beta: "context-management-2025-06-27", isCounted: true, source: `${litellm}; ${awsList}`, checked },
  { beta: "compact-2026-01-12", source: litellm, checked },
  { beta: "tool-search-tool-2025-10-19", source: `${litellm}; ${awsList}; ${claudeCode}`, checked },
  { beta: "advanced-tool-use-2025-11-20", sendAs: "tool-search-tool-2025-10-19", source: litellm, checked },
  { beta: "tool-examples-2025-10-29", source: awsList, checked },
  { beta: "fine-grained-tool-streaming-2025-05-14", source: `${litellm}; https://github.com/vercel/ai/pull/17179 (tried on Bedrock)`, checked },
  { beta: "mid-conversation-output-config-2026-07-01", models: generation5, source: litellm, checked },
  // Two names of one thing, `output_config` on a message; Bedrock is known to take the other one.
  { beta: "per-turn-control-2026-07-01", sendAs: "mid-conversation-output-config-2026-07-01", models: generation5, source: `${litellm}, which has both names for Anthropic's own API`, checked },
  { beta: "mid-conversation-tool-changes-2026-07-01", models: generation5, source: litellm, checked },
  { beta: "thinking-display-updates-2026-08-18", models: generation5, source: litellm, checked },
  // Sonnet 4.5 answers "invalid beta flag" to it.
  { beta: "thinking-binding-controls-2026-08-01", models: generation5, source: "https://github.com/BerriAI/litellm/pull/41203", checked },
  // Its field is `safeguards`: Bedrock classifies tool calls itself for Claude Code's auto mode.
  { beta: "dangerous-tool-use-2026-09-03", source: `${litellm}; https://docs.litellm.ai/docs/claude_code_auto_mode (who answers safeguards)`, checked },
  { beta: "computer-use-2025-11-24", source: litellm, checked },
  { beta: "computer-use-2025-01-24", source: `${litellm}; ${awsList}`, checked },
  { beta: "computer-use-2024-10-22", models: /claude-3-5-sonnet-20241022/, source: "https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html", checked },
  { beta: "token-efficient-tools-2025-02-19", models: /claude-3-7-sonnet/, source: awsList, checked },
  { beta: "output-128k-2025-02-19", models: /claude-3-7-sonnet/, source: awsList, checked },
  { beta: "dev-full-thinking-2025-05-14", models: /claude-(?:opus|sonnet)-4-2025/, source: awsList, checked },
  // Refused in the body by Opus 4.7 (https://github.com/anthropics/claude-code/issues/49648), where Claude Code 0.2.126 to 2.1.112 put it; 2.1.330 does not.
  { beta: "claude-code-20250219", isClientsOnly: true, isHeaderOnly: true, source: claudeCode, checked },
  { beta: "afk-mode-2026-01-31", isClientsOnly: true, source: "Claude Code 2.1.330, which sends it to Bedrock in auto mode", checked },
];

/**
 * Betas whose field Bedrock takes without them: the name leaves, the field stays. `output_config.format` and `strict` of tools:
 * https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html, checked 2026-11.
 */
export const fieldStaysWithout: readonly string[] = ["structured-outputs-"];

/**
 * Fields without which the reply would not be what was asked for: the request is refused naming the field, since Claude Code
 * then sends it without `safeguards` (Claude Code 2.1.330, `claude gateway`, GET /protocol). Bedrock's own page about structured
 * outputs calls `output_format` replaced by `output_config.format`.
 */
export const neverDropped: readonly string[] = ["safeguards", "mcp_servers", "container", "output_format"];

/** Bedrock refuses this member of a tool even with its beta, and wants the beta alone (https://github.com/vercel/ai/pull/17179, checked 2026-11). */
export const eagerInput = { field: "eager_input_streaming", beta: "fine-grained-tool-streaming-2025-05-14" } as const;

/** Part of `advanced-tool-use`, which goes by a name of its own on Bedrock ({@link betaRows}). */
export const toolExamples = { field: "input_examples", beta: "tool-examples-2025-10-29" } as const;

/**
 * The row for a beta that may go to this model. An application inference profile does not say its model: then the client is
 * believed, which sends what the model it asks for knows.
 */
export function rowFor(beta: string, model: string): BetaRow | undefined {
  const isOpaque = !model.includes("claude-");
  return betaRows.find((row) => row.beta === beta && (row.models === undefined || row.models.test(model) || (isOpaque && row.models === generation5)));
}
