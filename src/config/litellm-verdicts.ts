/** Holds every key of a LiteLLM file against the key table: what restricts and is not enforced stops the start. */
import { createAcceptance } from "./accept-unenforced.ts";
import type { FoundKey } from "./describe.ts";
import type { Node, Path, Place } from "./document.ts";
import { unknownKey } from "./issues.ts";
import type { KeySection } from "./litellm-key-row.ts";
import { keyNames, keyRow } from "./litellm-keys.ts";
import type { Field } from "./litellm-values.ts";
import { suggestion } from "./nearest.ts";
import type { Report } from "./report.ts";

/** Looks at sections one after another; `finish` reports, each key once with how many entries have it. */
export interface KeyJudge {
  look(section: KeySection, map: Field | undefined): void;
  finish(): readonly FoundKey[];
}

interface Complaint {
  readonly place: Place;
  readonly path: Path;
  readonly message: string;
  readonly isError: boolean;
  count: number;
}

/** @param accept names of restrictions that the operator accepts unenforced; see `createAcceptance` */
export function createKeyJudge(accept: readonly string[], report: Report): KeyJudge {
  const found: FoundKey[] = [];
  const acceptance = createAcceptance(accept);
  const complaints = new Map<string, Complaint>();
  const complain = (id: string, complaint: Omit<Complaint, "count">): void => {
    const known = complaints.get(id);
    if (known === undefined) complaints.set(id, { ...complaint, count: 1 });
    else known.count += 1;
  };
  return {
    look(section, map) {
      if (map?.node.kind !== "map") return;
      for (const [name, { keyPlace, value }] of map.node.entries) {
        const row = keyRow(section, name);
        const isOn = !isOff(value);
        found.push({ section, name, row, isOn });
        const at = { place: keyPlace, path: [...map.path, name] };
        const id = `${section}.${name}`;
        if (row === undefined) complain(id, { ...at, ...unknownComplaint(section, name) });
        else if (row.verdict === "not_yet" && isOn) {
          if (!row.restricts) complain(id, { ...at, isError: false, message: `does nothing yet: ${row.reason}` });
          else if (acceptance.accepts(section, name)) complain(id, { ...at, isError: false, message: `is not enforced, as accepted: ${row.reason}` });
          else complain(id, { ...at, isError: true, message: `restricts, and this build does not enforce it: ${row.reason}. Remove it, or start with --accept-unenforced ${name}` });
        }
      }
    },
    finish() {
      for (const { place, path, message, isError, count } of complaints.values()) {
        const text = count > 1 ? `${message} (${count} entries have it)` : message;
        if (isError) report.fail(place, path, text);
        else report.warn(place, path, text);
      }
      acceptance.finish(report);
      return found;
    },
  };
}

function unknownComplaint(section: KeySection, name: string): { readonly isError: boolean; readonly message: string } {
  // LiteLLM itself takes any name in these two: they go to the upstream, or are notes.
  if (section !== "params" && section !== "info") return { isError: true, message: unknownKey(name, keyNames(section).length > 12 ? near(section, name) : keyNames(section)) };
  return { isError: false, message: `unknown key, does nothing${suggestion(name, keyNames(section))}` };
}

/** Names for a suggestion only: listing a section's hundred would bury it. */
function near(section: KeySection, name: string): readonly string[] {
  return suggestion(name, keyNames(section)) === "" ? [] : keyNames(section);
}

/** `false`, nothing and empty collections switch a key off; a limit of 0 does not. */
function isOff(node: Node): boolean {
  if (node.kind === "list") return node.items.length === 0;
  if (node.kind === "map") return node.entries.size === 0;
  return node.value === null || node.value === false || node.text === "" || /^(?:false|no|off|none)$/i.test(node.text);
}
