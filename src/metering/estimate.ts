/** Token counts where no provider reports them. They are rough on purpose and always booked as `estimated`. */

/**
 * English text and code run at about four characters a token. Counting a broken-off stream this way is the rule that
 * Anthropic's own gateway documents for aborted streams: a floor, since thinking that was not shown is not counted.
 */
const charactersPerToken = 4;
/** A request body is mostly ASCII JSON, so bytes stand for characters; its punctuation makes this err on the high side. */
const bytesPerToken = 4;

/** Floor of the output tokens behind `characters` of relayed output, rounded up; ≥ 0. */
export function estimateOutputTokens(characters: number): number {
  return Math.max(0, Math.ceil(characters / charactersPerToken));
}

/** Input tokens of a request of `bytes`, rounded up; ≥ 0. Base64 images make it far too high, never too low. */
export function estimateInputTokens(bytes: number): number {
  return Math.max(0, Math.ceil(bytes / bytesPerToken));
}
