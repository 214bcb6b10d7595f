/** Reads comma-separated values with the place of each cell, so that a fault in somebody's export is named by line and column. */

/** A fault of a file. `line` and `column` count from 1; 0 where the whole file, or something that `path` names, is meant. */
export class FileFault extends Error {
  readonly line: number;
  readonly column: number;
  /** Path of a value in a JSON file, for instance `data[0].starting_at`; empty for others. */
  readonly path: string;

  constructor(message: string, place: { readonly line?: number; readonly column?: number; readonly path?: string } = {}) {
    super(message);
    this.name = "FileFault";
    this.line = place.line ?? 0;
    this.column = place.column ?? 0;
    this.path = place.path ?? "";
  }
}

/** One value. `column` is the character at which it begins. */
export interface Cell {
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

/**
 * Records of RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180), with either line end, an optional byte order mark, and without
 * empty lines.
 *
 * @throws FileFault for a quote that is not closed, or stands where none may
 */
export function parseCsv(text: string): readonly (readonly Cell[])[] {
  const records: Cell[][] = [];
  let record: Cell[] = [];
  let line = 1;
  let lineStart = text.startsWith("\uFEFF") ? 1 : 0;
  let at = lineStart;
  while (at < text.length || record.length > 0) {
    const place = { line, column: at - lineStart + 1 };
    const { value, end, lines, lastLineStart } = text[at] === '"' ? quoted(text, at, place) : { value: plain(text, at, place), end: plainEnd(text, at), lines: 0, lastLineStart: lineStart };
    record.push({ text: value, ...place });
    line += lines;
    lineStart = lines > 0 ? lastLineStart : lineStart;
    at = end;
    if (text[at] === ",") {
      at++;
      continue;
    }
    if (at < text.length && text[at] !== "\n" && text[at] !== "\r") throw new FileFault("after a closing quote there must be a comma or the end of the line", { line, column: at - lineStart + 1 });
    if (record.length > 1 || record[0]!.text !== "") records.push(record);
    record = [];
    at += text.startsWith("\r\n", at) ? 2 : 1;
    line++;
    lineStart = at;
  }
  return records;
}

function plainEnd(text: string, start: number): number {
  let end = start;
  while (end < text.length && text[end] !== "," && text[end] !== "\n" && text[end] !== "\r") end++;
  return end;
}

function plain(text: string, start: number, { line, column }: { readonly line: number; readonly column: number }): string {
  const value = text.slice(start, plainEnd(text, start));
  const quote = value.indexOf('"');
  if (quote !== -1) throw new FileFault("a value with quotes in it must be quoted as a whole", { line, column: column + quote });
  return value;
}

interface Quoted {
  readonly value: string;
  /** Behind the closing quote. */
  readonly end: number;
  readonly lines: number;
  readonly lastLineStart: number;
}

function quoted(text: string, start: number, place: { readonly line: number; readonly column: number }): Quoted {
  let value = "";
  for (let at = start + 1; ; ) {
    const quote = text.indexOf('"', at);
    if (quote === -1) throw new FileFault("this quote is not closed", place);
    value += text.slice(at, quote);
    if (text[quote + 1] !== '"') {
      const inside = text.slice(start, quote);
      return { value, end: quote + 1, lines: inside.split("\n").length - 1, lastLineStart: start + inside.lastIndexOf("\n") + 1 };
    }
    value += '"';
    at = quote + 2;
  }
}
