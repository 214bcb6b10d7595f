/**
 * What the log may keep of a provider's error: its own words, which tell an operator what to mend, without the parts that a
 * provider quotes from the request or from its login.
 */

const wordsLengthMax = 600;
/** Shorter runs that stand in both are names of fields and models, not texts. */
const quotedBytesMin = 16;
const strideBytes = quotedBytesMin / 2;
/** A larger request is not searched, because an error must stay cheap; the words are left out then. */
const searchedBytesMax = 4 * 1024 * 1024;

const cut = "[…]";
/** Keys and tokens of the vendors, and anything as long and mixed as one. Names with dots and hyphens, ARNs and UUIDs stay. */
const credential = /\b(?:sk|pk|key)-[\w+/=-]{8,}|\bya29\.[\w.-]+|\beyJ[\w.-]{16,}|\bAIza[\w-]{16,}|\b(?:Bearer|Basic) [^\s",]+|(?=[A-Za-z+=]*\d)(?=[\d+=]*[A-Za-z])[A-Za-z0-9+=]{20,}/g;

/**
 * @param body the provider's error, as bytes of any kind
 * @param request the body of the client's request
 * @returns at most {@link wordsLengthMax} characters on one line, possibly none
 */
export function operatorWords(body: Buffer, request: Buffer): string {
  if (request.length > searchedBytesMax) return "";
  const said = body.subarray(0, wordsLengthMax);
  const pieces: string[] = [];
  let keptFrom = 0;
  for (let at = 0; at + quotedBytesMin <= said.length; at += strideBytes) {
    const found = request.indexOf(said.subarray(at, at + quotedBytesMin));
    if (found === -1) continue;
    let start = at;
    while (start > keptFrom && said[start - 1] === request[found - (at - start) - 1]) start -= 1;
    let end = at + quotedBytesMin;
    while (end < said.length && said[end] === request[found + (end - at)]) end += 1;
    pieces.push(said.toString("utf8", keptFrom, start), cut);
    keptFrom = end;
    // The next window begins where this quotation ends.
    at = end - strideBytes;
  }
  pieces.push(said.toString("utf8", keptFrom));
  return pieces.join("").replace(/\s+/g, " ").replace(credential, cut);
}
