/**
 * A second reader of server-sent events, written character by character after the specification's own steps and sharing
 * nothing with `sse.ts`: the oracle of its tests.
 */

/** Events of a complete stream; an unfinished last one is dropped, as the specification says. */
export function createParser(text: string): { event: string; data: string }[] {
  const events: { event: string; data: string }[] = [];
  let type = "";
  let data: string | undefined;
  let line = "";
  const endLine = (): void => {
    if (line === "") {
      if (data !== undefined) events.push({ event: type || "message", data });
      type = "";
      data = undefined;
    } else if (!line.startsWith(":")) {
      const [, field = "", , value = ""] = /^([^:]*)(: ?(.*))?$/s.exec(line) ?? [];
      if (field === "event") type = value;
      if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
    }
    line = "";
  };
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (index === 0 && character === "\ufeff") continue;
    if (character === "\r") {
      if (text[index + 1] === "\n") index += 1;
      endLine();
    } else if (character === "\n") endLine();
    else line += character;
  }
  return events;
}
