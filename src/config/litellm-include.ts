/** LiteLLM's `include`: several files as one. Lists are joined, mappings merged; each value keeps its own file and line. */
import { parseYaml, type Entry, type MapNode, type Node, type Place } from "./document.ts";
import { codeOf } from "./interpolate.ts";
import { besideFile, type LoadContext } from "./sections.ts";

/** @returns the root without `include`; missing files, circles and doubled keys are reported */
export function mergeIncludes(root: MapNode, context: LoadContext): MapNode {
  return expand(root, context.path, [context.path], context);
}

function expand(root: MapNode, file: string, chain: readonly string[], context: LoadContext): MapNode {
  const { report } = context;
  const include = root.entries.get("include");
  if (include === undefined) return root;
  let merged: MapNode = { ...root, entries: new Map([...root.entries].filter(([name]) => name !== "include")) };
  if (include.value.kind !== "list") {
    report.fail(include.value.place, ["include"], "must be a list of files");
    return merged;
  }
  for (const [index, item] of include.value.items.entries()) {
    const path = ["include", index];
    if (item.kind !== "scalar" || typeof item.value !== "string" || item.value === "") {
      report.fail(item.place, path, "must be the path of a file");
      continue;
    }
    const name = besideFile(file, item.value);
    if (chain.some((known) => besideFile(known, known) === name)) report.fail(item.place, path, "includes itself, by this file or by way of others");
    else merged = mergeMaps(merged, readIncluded(name, item.place, chain, context), context);
  }
  return merged;
}

function readIncluded(name: string, place: Place, chain: readonly string[], context: LoadContext): MapNode {
  const nothing: MapNode = { kind: "map", place, entries: new Map() };
  let text: string;
  try {
    text = context.readFile(name);
  } catch (error) {
    context.report.fail(place, ["include"], `this file cannot be read (${codeOf(error)})`);
    return nothing;
  }
  const { root, faults } = parseYaml(name, text);
  context.report.addErrors(faults);
  return root === undefined ? nothing : expand(root, name, [...chain, name], context);
}

/** The including file's values come first in lists; of two values for one key the included file's counts, as in LiteLLM. */
function mergeMaps(base: MapNode, added: MapNode, context: LoadContext): MapNode {
  const entries = new Map<string, Entry>(base.entries);
  for (const [name, entry] of added.entries) {
    const known = entries.get(name);
    const value = known === undefined ? entry.value : mergeNodes(name, known.value, entry.value, context);
    entries.set(name, { keyPlace: known?.keyPlace ?? entry.keyPlace, value });
  }
  return { ...base, entries };
}

function mergeNodes(section: string, base: Node, added: Node, context: LoadContext): Node {
  if (base.kind === "list" && added.kind === "list") return { ...base, items: [...base.items, ...added.items] };
  if (base.kind === "map" && added.kind === "map") {
    for (const [name, { keyPlace }] of added.entries) if (base.entries.has(name)) context.report.warn(keyPlace, [section, name], "is set in several files; this one counts");
    return { ...base, entries: new Map([...base.entries, ...added.entries]) };
  }
  return added.kind === "scalar" && added.value === null ? base : added;
}
