/**
 * The names of `--accept-unenforced` against a LiteLLM file: which restriction each one means. A name that means none is a slip, and
 * a slip taken in silence would leave an operator believing that something was accepted on purpose.
 */
import type { Place } from "./document.ts";
import type { KeySection } from "./litellm-key-row.ts";
import { litellmKeys, sectionPrefixes } from "./litellm-keys.ts";
import { suggestion } from "./nearest.ts";
import type { Report } from "./report.ts";

/** Stands for the file in complaints, since the fault is on the command line. */
export const acceptFlag: Place = { file: "--accept-unenforced", line: 0, column: 0 };

/** Follows which of the accepted names a file has a use for. */
export interface Acceptance {
  /** Whether one of the names means this restriction, which stands in the file and is not enforced. */
  accepts(section: KeySection, name: string): boolean;
  /** Reports the names without use: unknown ones as errors, known ones that this file does not need as warnings. */
  finish(report: Report): void;
}

/** @param names bare (`rpm`), with a section (`params.rpm`), or as a path, with `[]` for list entries or without */
export function createAcceptance(names: readonly string[]): Acceptance {
  const used = new Set<string>();
  /** Bare names, in the order of the file, each once. */
  const restrictions = new Set<string>();
  return {
    accepts(section, name) {
      restrictions.add(name);
      const spellings = spellingsOf(section, name);
      const meant = names.filter((candidate) => spellings.includes(candidate));
      for (const candidate of meant) used.add(candidate);
      return meant.length > 0;
    },
    finish(report) {
      const idle = [...new Set(names)].filter((name) => !used.has(name));
      for (const name of idle) {
        if (knownSpellings.has(name)) report.warn(acceptFlag, [], `\`${name}\` is not needed: this file does not restrict by it, or this build enforces it`);
        else report.fail(acceptFlag, [], unknownName(name, [...restrictions]));
      }
    },
  };
}

/** For configurations that are not LiteLLM's: there is nothing to accept in them. `what` is the file, or what stands for one. */
export function refuseAcceptance(names: readonly string[], what: string, report: Report): void {
  for (const name of new Set(names)) report.fail(acceptFlag, [], `\`${name}\` means nothing here: it is for LiteLLM's files, and ${what} is none`);
}

function unknownName(name: string, restrictions: readonly string[]): string {
  const sentence = `\`${name}\` is no restriction of this file`;
  if (restrictions.length === 0) return `${sentence}, which has none that would have to be accepted`;
  const near = suggestion(name, restrictions);
  return near === "" ? `${sentence}, which restricts by: ${restrictions.join(", ")}` : `${sentence}${near} It restricts by: ${restrictions.join(", ")}`;
}

/** `rpm`, `params.rpm`, `model_list[].litellm_params.rpm`, `model_list.litellm_params.rpm`. */
function spellingsOf(section: KeySection, name: string): readonly string[] {
  const path = sectionPrefixes[section] + name;
  return [name, `${section}.${name}`, path, path.replaceAll("[]", "")];
}

const knownSpellings: ReadonlySet<string> = new Set(litellmKeys.flatMap(({ section, name }) => spellingsOf(section, name)));
