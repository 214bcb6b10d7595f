/**
 * What an error of Microsoft Foundry means. Errors of the model come in Anthropic's envelope; Azure's front has two of its own,
 * `{error:{code,message}}` and `{statusCode,message}`, whose words may name principals, resources and subscriptions.
 *
 * Seen: `DeploymentNotFound` (https://github.com/NousResearch/hermes-agent/issues/47812), `{statusCode:401,message}` and
 * `PermissionDenied` (https://github.com/microsoft/vscode/issues/283763), `invalid_model_endpoint_authentication`, a passing fault
 * between Azure and Anthropic
 * (https://learn.microsoft.com/en-my/answers/questions/5854137/errors-using-claude-api-in-microsoft-foundry). Checked 2026-11.
 */
import { anthropicErrorOf, jsonOf, memberOf, plainSentence, refusedBetaOf } from "../error-reply.ts";
import type { ReplyClass, ReplyVerdict } from "../provider.ts";

/** @param ownsCredential the client's own login was used, so a refusal of it is the client's to see */
export function classify(status: number, ownsCredential: boolean): ReplyClass {
  if (status === 401 || status === 403) return ownsCredential ? "deliver" : "credential";
  if (status === 404 || status === 408 || status === 429 || status >= 500) return "retryable";
  return "deliver";
}

interface Reply {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
  readonly ownsCredential: boolean;
}

export function judge({ status, headers, body, ownsCredential }: Reply): ReplyVerdict {
  const json = jsonOf(body);
  const words = anthropicErrorOf(json);
  if (words !== undefined && (status === 400 || status === 413)) {
    const refusedBeta = status === 400 ? refusedBetaOf(words.message) : undefined;
    if (refusedBeta === undefined) return { replyClass: "deliver", told: undefined };
    // Told only when the second try fails as well; the client heals by these very words.
    return { replyClass: "deliver", told: { type: words.type, message: words.message }, refusedBeta };
  }
  const code = azureCodeOf(json);
  if (code === "invalid_model_endpoint_authentication") {
    return { replyClass: "retryable", told: { ...plainSentence(503, headers, "Microsoft Foundry could not reach the model; try again."), status: 503 } };
  }
  if (code === "content_filter" && status === 400) return { replyClass: "deliver", told: plainSentence(400, headers, "Microsoft Foundry's content filter refused the request.") };
  return { replyClass: classify(status, ownsCredential), told: plainSentence(status, headers, sentenceOf(status, code)) };
}

/** Azure's word for what went wrong; numbers and unknown forms say no more than the status. */
function azureCodeOf(json: unknown): string | undefined {
  const code = memberOf(memberOf(json, "error"), "code");
  return typeof code === "string" ? code : undefined;
}

function sentenceOf(status: number, code: string | undefined): string | undefined {
  if (status === 404) return code === "DeploymentNotFound" ? "There is no such deployment in the gateway's Foundry resource." : "The model is not available in the gateway's Foundry resource.";
  if (status === 429) return "The rate limit of this deployment in Microsoft Foundry is reached; try again later.";
  return status === 400 ? "Microsoft Foundry refused the request as invalid." : undefined;
}
