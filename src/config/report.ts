/** Collects what is wrong with a file and what is merely worth saying, in any order, and hands it over in the file's. */
import { formatPath, type Node, type Path, type Place, type Remark } from "./document.ts";
import type { ConfigNotice } from "./gateway-config.ts";

/** Errors and warnings of one load. */
export interface Report {
  fail(place: Place, path: Path, message: string): void;
  warn(place: Place, path: Path, message: string): void;
  addErrors(remarks: readonly Remark[]): void;
  /** True when an error stands at this path, above it or below it. */
  hasErrorAt(path: Path): boolean;
  errors(): readonly ConfigNotice[];
  warnings(): readonly ConfigNotice[];
}

export function createReport(): Report {
  const errors: Remark[] = [];
  const warnings: Remark[] = [];
  const fail = (place: Place, path: Path, message: string): void => void errors.push({ place, path, message });
  return {
    fail,
    warn: (place, path, message) => void warnings.push({ place, path, message }),
    addErrors: (remarks) => void errors.push(...remarks),
    hasErrorAt: (path) => errors.some((error) => error.path.length > 0 && error.path.slice(0, path.length).every((part, index) => part === path[index])),
    errors: () => notices(errors),
    warnings: () => notices(warnings),
  };
}

/** Sorted by place, the main file's first since included ones are read after it; equal ones once. */
function notices(remarks: readonly Remark[]): readonly ConfigNotice[] {
  const files = [...new Set(remarks.map(({ place }) => place.file))];
  const seen = new Set<string>();
  return remarks
    .map(({ place, path, message }): ConfigNotice => ({ ...place, path: formatPath(path), message }))
    .sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column)
    .filter((notice) => {
      const key = JSON.stringify(notice);
      return !seen.has(key) && seen.add(key);
    });
}

/** A value for a sentence, in backticks; only "this value" when it came from the environment, or looks like a credential. */
export function shown(node: Node | undefined): string {
  if (node?.kind !== "scalar" || node.isResolved || node.text.length > 80 || /^sk-|^Bearer /i.test(node.text)) return "this value";
  return `\`${node.text}\``;
}
