/** Reads the pages as a tester needs them: sections with their fenced blocks and tables. No Markdown beyond what our pages use. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The repository's root. */
export const root: string = join(import.meta.dirname, "..", "..");

/** A fenced block. */
export interface Block {
  readonly language: string;
  readonly text: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
}

/** What stands under one heading, up to the next one of any level. */
export interface Section {
  readonly heading: string;
  /** As GitHub makes it for links. */
  readonly anchor: string;
  readonly blocks: readonly Block[];
  /** Rows of cells, without the rule below the head; one array a table. */
  readonly tables: readonly (readonly (readonly string[])[])[];
}

export interface Page {
  /** From the root. */
  readonly path: string;
  readonly text: string;
  readonly sections: readonly Section[];
}

/** @throws when there is no such file, or a fence is not closed */
export function readPage(path: string): Page {
  const text = readFileSync(join(root, path), "utf8");
  const sections: { heading: string; anchor: string; blocks: Block[]; tables: string[][][] }[] = [{ heading: "", anchor: "", blocks: [], tables: [] }];
  let open: { language: string; line: number; lines: string[] } | undefined;
  let table: string[][] | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const section = sections.at(-1)!;
    if (open !== undefined) {
      if (line === "```") {
        section.blocks.push({ language: open.language, line: open.line, text: `${open.lines.join("\n")}\n` });
        open = undefined;
      } else open.lines.push(line);
      continue;
    }
    const fence = /^```(\S*)/.exec(line);
    if (fence !== null) open = { language: fence[1]!, line: index + 1, lines: [] };
    const heading = /^#+ (.+)$/.exec(line)?.[1];
    if (heading !== undefined) sections.push({ heading, anchor: anchorOf(heading), blocks: [], tables: [] });
    if (!line.startsWith("|")) table = undefined;
    else if (!/^\|[-| ]+\|$/.test(line)) {
      if (table === undefined) section.tables.push((table = []));
      table.push(line.slice(1, line.lastIndexOf("|")).split("|").map((cell) => cell.trim()));
    }
  }
  if (open !== undefined) throw new Error(`${path}:${open.line}: the fence is not closed`);
  return { path, text, sections };
}

function anchorOf(heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
}

/** Blocks of a language, in the page's order. */
export function blocksOf({ sections }: Pick<Page, "sections">, language: string): readonly Block[] {
  return sections.flatMap(({ blocks }) => blocks.filter((block) => block.language === language));
}

/** The section with a heading. @throws when there is none */
export function sectionOf(page: Page, heading: string): Section {
  const found = page.sections.find((section) => section.heading === heading);
  if (found === undefined) throw new Error(`${page.path} has no section ${heading}`);
  return found;
}

/** A cell without its backticks. */
export function plain(cell: string): string {
  return cell.replaceAll("`", "");
}

/** The pages about setting up Claude Code, the one that leads to the others first. */
export function guidePages(): readonly Page[] {
  const folder = "docs/claude-code";
  return [readPage("docs/claude-code.md"), ...readdirSync(join(root, folder)).toSorted().map((name) => readPage(`${folder}/${name}`))];
}

/** Pages read as one. */
export function joined(pages: readonly Page[]): Page {
  return { path: pages[0]!.path, text: pages.map(({ text }) => text).join("\n"), sections: pages.flatMap(({ sections }) => sections) };
}
