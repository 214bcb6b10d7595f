/**
 * What an error of Bedrock means, as a reply or as the frame that ends a stream. A 400 in AWS's shape holds the model's words: the
 * ones that Claude Code heals by are told again in words of our own with the class beside them, since the text around them may name
 * accounts. Classes and wordings: Claude Code 2.1.330, `claude gateway`, GET /protocol, checked 2026-11.
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { faultTold, judgeAws, refusedBetaIn, type AwsReply } from "../aws-failures.ts";
import { jsonOf, memberOf } from "../error-reply.ts";
import type { ReplyVerdict } from "../provider.ts";

export function judge(reply: AwsReply): ReplyVerdict {
  return judgeAws(reply, explain);
}

function explain(message: string): ReplyVerdict {
  const refusedBeta = refusedBetaIn(message);
  return { replyClass: "deliver", told: { type: "invalid_request_error", message: toldWords(message) }, ...(refusedBeta === undefined ? {} : { refusedBeta }) };
}

/** A wording that the client knows, and how it is told; undefined where this row is not meant. */
type Healing = (message: string) => { readonly words: string; readonly class: string } | undefined;

function when(pattern: RegExp, words: string, className: string): Healing {
  return (message) => (pattern.test(message) ? { words, class: className } : undefined);
}

/** The match itself is told: it must consist of known words and numbers only. */
function quoting(pattern: RegExp, className: string): Healing {
  return (message) => {
    const match = pattern.exec(message)?.[0];
    return match === undefined ? undefined : { words: match, class: className };
  };
}

/** In the order in which the client looks for them. */
const healings: readonly Healing[] = [
  when(/Unexpected role.*input message role|role .{0,2}system.{0,2}.*not supported|not supported.*role .{0,2}system|Input should be ['"`]user['"`] or ['"`]assistant['"`]/i, 'role "system" is not supported on this model', "mid_conv_system"),
  (message) => (/cache_control/.test(message) && /Extra inputs are not permitted|cannot be set/i.test(message) && !/\bttl\b|\bsystem\.\d|tool_result|role .{0,2}system/i.test(message) ? { words: "cache_control: Extra inputs are not permitted", class: "cache_control_field" } : undefined),
  (message) => (/signature in thinking block|(?:redacted_)?thinking.*(?:cannot be modified|invalid signature)|invalid data in redacted_thinking|thinking\.signature.*field required/i.test(message.replaceAll("`", "")) ? { words: `${pathIn(message)}Invalid \`signature\` in \`thinking\` block`, class: "thinking_signature" } : undefined),
  (message) => {
    const type = (/thinking\.type[^a-z]{1,8}(enabled|adaptive)[^]*?not supported/i.exec(message) ?? /\b(adaptive) thinking is not supported/i.exec(message))?.[1]?.toLowerCase();
    return type === undefined ? undefined : { words: type === "adaptive" ? "adaptive thinking is not supported on this model" : "thinking.type: enabled is not supported on this model", class: `thinking_type:${type}` };
  },
  quoting(/output_config\.format: Extra inputs are not permitted/i, "structured_outputs_unsupported"),
  quoting(/(?:messages\.\d+\.)?output_config(?:\.\w+)?: Extra inputs are not permitted/i, "effort_unsupported"),
  when(/effort parameter.*not support|not support.*effort parameter|output_config.*requires a model that supports/i, "This model does not support the effort parameter", "effort_unsupported"),
  when(/too much media/i, "Too much media", "media_budget"),
  (message) => (/image exceeds|could not process image|image dimensions exceed|image cannot be empty|image does not match|exceeds api limit|unable to (?:resize|compress) image|image file is empty|content[.[]\d+[\].]+(?:\w+[.[]\w+[.[]\d+[\].]+)?image/i.test(message) ? { words: `${blockPathIn(message)}Could not process image`, class: "image_block" } : undefined),
  (message) => (/could not process pdf|pdf pages|the pdf specified|pdf cannot be empty|does not support pdf|content[.[]\d+[\].]+(?:\w+[.[]\w+[.[]\d+[\].]+)?(?:document|pdf)/i.test(message) ? { words: `${blockPathIn(message)}Could not process PDF`, class: "document_block" } : undefined),
  quoting(/prompt is too long: \d{1,9} tokens > \d{1,9} maximum/i, "prompt_too_long"),
  when(/prompt is too long|input is too long for requested model/i, "Input is too long for requested model.", "prompt_too_long"),
  quoting(/input length and `max_tokens` exceed context limit: \d{1,9} \+ \d{1,9} > \d{1,9}/i, "max_tokens_context_overflow"),
  when(/input length and `max_tokens` exceed context limit/i, "input length and `max_tokens` exceed context limit", "max_tokens_context_overflow"),
];

/** The sentence for a 400's words. */
export function toldWords(message: string): string {
  const bare = message.replace(/^The model returned the following errors:\s*/i, "").trim();
  // The client compares the whole message with this one.
  if (/^input is too long\.?$/i.test(bare)) return "Input is too long.";
  const beta = /anthropic[-_]beta/.test(bare) ? refusedBetaIn(bare) : undefined;
  if (beta !== undefined && /^[a-z][a-z\d-]*-20\d\d-\d\d-\d\d$/.test(beta)) return `Unexpected value(s) \`${beta}\` for the \`anthropic-beta\` header. (capability_rejected: beta_header:${beta})`;
  if (/invalid beta flag/i.test(bare)) return "invalid beta flag";
  for (const healing of healings) {
    const found = healing(bare);
    if (found !== undefined) return `${found.words} (capability_rejected: ${found.class})`;
  }
  return isAboutFields(bare) ? bare : "The model provider refused the request as invalid.";
}

/** `messages.1.content.0: `, where the words say so. */
function pathIn(message: string): string {
  const path = /messages\.\d{1,6}\.content\.\d{1,6}(?=[:.])/.exec(message)?.[0];
  return path === undefined ? "" : `${path}: `;
}

/** The client takes out just the block that is named. */
function blockPathIn(message: string): string {
  const path = /messages\.\d{1,6}\.content\.\d{1,6}\.(?:tool_result\.content\.\d{1,6}\.)?(?:image|document|pdf)/.exec(message)?.[0];
  return path === undefined ? "" : `${path}: `;
}

/**
 * The model's own checks, as `max_tokens: 128000 > 64000, which is …`: a field, then what is wrong with it. Anything that could
 * name an account, an address or a person is not such a text.
 */
function isAboutFields(message: string): boolean {
  if (message.length > 300 || /arn:|\d{12}|:\/\/|@|(?:\d{1,3}\.){3}\d|[\w-]\.(?:com|net|org|aws|internal|local|cn)|\b(?:account|principal|policy|identity)\b|role\//i.test(message)) return false;
  return /^`?(?:anthropic_version|max_tokens|messages|metadata|model|output_config|stop_sequences|stream|system|temperature|thinking|tool_choice|tools|top_k|top_p)`?(?:[.[][\w.[\]]{0,120})?(?:: | may | must | cannot |\/)/.test(message);
}

/**
 * The fault that an exception frame tells. Of its words nothing goes to the log: they may quote the request, which is not kept while
 * a reply runs, so nobody could tell what of them is a quotation.
 *
 * @param name `throttlingException`, as the frame's header has it
 */
export function exceptionFault(name: string, payload: Buffer): GatewayError {
  const kind = name.charAt(0).toUpperCase() + name.slice(1);
  const internal = `event stream: ${/^[A-Za-z]{1,80}$/.test(name) ? name : "an exception without a known name"}`;
  if (kind === "ValidationException") {
    const json = jsonOf(payload);
    const said = memberOf(json, "message") ?? memberOf(json, "Message");
    const publicText = toldWords(typeof said === "string" ? said.slice(0, 2_000) : "");
    return new GatewayError("upstream_refused", { internal, status: 400, type: "invalid_request_error", publicText });
  }
  const told = faultTold(kind, []);
  if (told === undefined) return new GatewayError("upstream_stream_broken", { internal });
  return new GatewayError("upstream_refused", { internal, publicText: told.message, type: told.type, ...(told.status === undefined ? {} : { status: told.status }) });
}
