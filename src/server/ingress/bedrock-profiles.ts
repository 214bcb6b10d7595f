/**
 * What `ListInferenceProfiles` answers: Claude Code asks it at its start without a key and only to choose among region
 * prefixes, so a short fixed list of public ids is all it may see, and all it needs. Ids:
 * https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html, checked 2026-11.
 */

const prefixes = ["global", "us", "eu", "jp", "au"];
const models = ["claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5-20251001-v1:0", "claude-sonnet-4-5-20250929-v1:0"];

/** One page, in the shape of https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html. */
export function inferenceProfiles(): string {
  const summaries = models.flatMap((model) =>
    prefixes.map((prefix) => ({
      inferenceProfileId: `${prefix}.anthropic.${model}`,
      inferenceProfileArn: `arn:aws:bedrock:us-east-1::inference-profile/${prefix}.anthropic.${model}`,
      inferenceProfileName: `${prefix} ${model}`,
      models: [{ modelArn: `arn:aws:bedrock:us-east-1::foundation-model/anthropic.${model}` }],
      status: "ACTIVE",
      type: "SYSTEM_DEFINED",
    })),
  );
  return JSON.stringify({ inferenceProfileSummaries: summaries });
}
