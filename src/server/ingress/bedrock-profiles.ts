/**
 * What `ListInferenceProfiles` and `GetInferenceProfile` answer: Claude Code asks them at its start without a key and only to choose
 * among region prefixes, so a short fixed list of public ids is all it may see, and all it needs. Ids:
 * https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html, checked 2026-11; the newest by the rule that ids
 * of the gateway's own requests follow.
 */

const prefixes = ["global", "us", "eu", "jp", "au"];
const models = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5-20251001-v1:0", "claude-sonnet-4-5-20250929-v1:0"];

/** In the shape of https://docs.aws.amazon.com/bedrock/latest/APIReference/API_InferenceProfileSummary.html, checked 2026-11. */
interface InferenceProfile {
  readonly inferenceProfileId: string;
  readonly inferenceProfileArn: string;
  readonly inferenceProfileName: string;
  readonly models: readonly { readonly modelArn: string }[];
  readonly status: "ACTIVE";
  readonly type: "SYSTEM_DEFINED";
}

const profiles: readonly InferenceProfile[] = models.flatMap((model) =>
  prefixes.map((prefix) => ({
    inferenceProfileId: `${prefix}.anthropic.${model}`,
    inferenceProfileArn: `arn:aws:bedrock:us-east-1::inference-profile/${prefix}.anthropic.${model}`,
    inferenceProfileName: `${prefix} ${model.replace(/-v1:0$/, "")}`,
    models: [{ modelArn: `arn:aws:bedrock:us-east-1::foundation-model/anthropic.${model}` }],
    status: "ACTIVE",
    type: "SYSTEM_DEFINED",
  })),
);

/** One page with all there are. */
export function inferenceProfiles(): string {
  return JSON.stringify({ inferenceProfileSummaries: profiles });
}

/**
 * @param identifier decoded: an id, or the ARN of a profile that AWS defines, in any region and account
 * @returns undefined for any other, an application's profiles among them: an operator names those in the configuration
 */
export function inferenceProfile(identifier: string): string | undefined {
  const id = identifier.replace(/^arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d*:inference-profile\//, "");
  const profile = profiles.find(({ inferenceProfileId }) => inferenceProfileId === id);
  return profile === undefined ? undefined : JSON.stringify(profile);
}
