/**
 * Finds repeated member names, which `JSON.parse` silently merges: a gateway and a provider that read different ones of the
 * two would disagree about the request, so the fake refuses them at any depth.
 */

/** End (index of the closing quote) of the string that opens at `open`. */
function stringEnd(text: string, open: number): number {
  let end = open;
  for (;;) {
    end = text.indexOf('"', end + 1);
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === 92) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
}

/**
 * First member name that an object of `text` holds twice, compared after unescaping; undefined when there is none.
 *
 * @param text must be valid JSON (checked by the caller); linear in its length
 */
export function findDuplicateMember(text: string): string | undefined {
  const names: (Set<string> | undefined)[] = [];
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 123) names.push(new Set());
    else if (code === 91) names.push(undefined);
    else if (code === 125 || code === 93) names.pop();
    else if (code === 34) {
      const end = stringEnd(text, index);
      const here = names.at(-1);
      if (here !== undefined && isNameAt(text, end + 1)) {
        const name = JSON.parse(text.slice(index, end + 1)) as string;
        if (here.has(name)) return name;
        here.add(name);
      }
      index = end;
    }
  }
  return undefined;
}

/** A string is a member name when a colon follows it. */
function isNameAt(text: string, after: number): boolean {
  let index = after;
  while (" \t\r\n".includes(text[index] ?? "x")) index += 1;
  return text[index] === ":";
}
