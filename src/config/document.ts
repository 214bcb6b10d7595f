/**
 * YAML as a tree in which every key and value knows its file, line and column, so that any later stage can point at what
 * it dislikes. Faults are sentences of our own: a parser's would quote the file, and the file may hold secrets.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Scalar } from "yaml";

/** A spot in a file; both numbers count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Keys and list positions from the root to a value. */
export type Path = readonly (string | number)[];

/** A fault or remark at a place; `path` is empty when no key is meant. */
export interface Remark {
  readonly place: Place;
  readonly path: Path;
  readonly message: string;
}

/** A mapping, in file order. */
export interface MapNode {
  readonly kind: "map";
  readonly place: Place;
  readonly entries: ReadonlyMap<string, Entry>;
}

/** A key's own place and its value. */
export interface Entry {
  readonly keyPlace: Place;
  readonly value: Node;
}

/** A sequence. */
export interface ListNode {
  readonly kind: "list";
  readonly place: Place;
  readonly items: readonly Node[];
}

/** A value. `text` is what stands in the file, so that numbers can be read exactly. */
export interface ScalarNode {
  readonly kind: "scalar";
  readonly place: Place;
  readonly value: string | number | boolean | null;
  readonly text: string;
  /** It came from the environment or another file, and must not be shown. */
  readonly isResolved: boolean;
}

/** Any part of a document. */
export type Node = MapNode | ListNode | ScalarNode;

/** More than any real file has; stops aliases that multiply themselves. */
const nodesMax = 100_000;
const depthMax = 64;

/**
 * Reads one document.
 *
 * @returns the root, empty when the file is; undefined when it cannot be read at all. Faults in the order of the file; a
 *   repeated key leaves a root, so that the rest of the file can be judged too
 */
export function parseYaml(file: string, text: string): { readonly root: MapNode | undefined; readonly faults: readonly Remark[] } {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, merge: true, uniqueKeys: true, logLevel: "error" });
  const placeAt = (offset: number): Place => {
    const { line, col } = lineCounter.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const faults: Remark[] = [];
  let isBroken = false;
  for (const { code, pos } of [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0])) {
    const place = placeAt(pos[0]);
    if (code !== "DUPLICATE_KEY") isBroken = true;
    // One slip leads to several complaints on its line; the first is the telling one.
    if (code !== "DUPLICATE_KEY" && faults.some((known) => known.place.line === place.line)) continue;
    faults.push({ place, path: [], message: syntaxFaults[code] ?? "this is not valid YAML" });
  }
  if (isBroken) return { root: undefined, faults };
  const walker = new Walker(document, placeAt, faults);
  const root = walker.node(document.contents, [], placeAt(0));
  if (walker.hasOverflowed) return { root: undefined, faults: [...faults, { place: placeAt(0), path: [], message: "the file is too large or too deeply nested" }] };
  if (root.kind === "scalar" && root.value === null) return { root: { kind: "map", place: root.place, entries: new Map() }, faults };
  if (root.kind !== "map") return { root: undefined, faults: [...faults, { place: root.place, path: [], message: "the file must hold `key: value` lines" }] };
  return { root, faults };
}

const syntaxFaults: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "this key stands here a second time; remove one of the two",
  BAD_INDENT: "the indentation does not fit the lines around it, or a bracket is not closed",
  TAB_AS_INDENT: "tabs cannot indent; use spaces",
  MISSING_CHAR: "something is missing: a colon after a key, a comma between items, or a closing quote or bracket",
  BLOCK_AS_IMPLICIT_KEY: "a mapping or list begins where a plain value must stand; quote a value that holds a colon and a space",
  MULTILINE_IMPLICIT_KEY: "a key and its colon must stand on one line",
  BAD_ALIAS: "a value that begins with `*` needs quotes",
  BAD_SCALAR_START: "a value cannot begin with this character; put it in quotes",
  BAD_DQ_ESCAPE: "this backslash sequence means nothing inside double quotes; use single quotes",
  BLOCK_IN_FLOW: "a block value cannot stand inside brackets",
  MULTIPLE_DOCS: "a second document begins here; a file holds one",
  UNEXPECTED_TOKEN: "this is not expected here; a quote, bracket or comma may be missing before it",
  TAG_RESOLVE_FAILED: "YAML tags (`!name`) are not read here",
  KEY_OVER_1024_CHARS: "this key is too long",
};

/** Turns the parser's tree into ours: aliases and `<<` are followed, keys become strings. */
class Walker {
  readonly #document: Document;
  readonly #placeAt: (offset: number) => Place;
  readonly #faults: Remark[];
  #count = 0;
  hasOverflowed = false;

  constructor(document: Document, placeAt: (offset: number) => Place, faults: Remark[]) {
    this.#document = document;
    this.#placeAt = placeAt;
    this.#faults = faults;
  }

  node(source: unknown, path: Path, fallback: Place): Node {
    const nothing: ScalarNode = { kind: "scalar", place: fallback, value: null, text: "", isResolved: false };
    this.#count += 1;
    if (this.#count > nodesMax || path.length > depthMax) this.hasOverflowed = true;
    if (this.hasOverflowed) return nothing;
    if (isAlias(source)) {
      const place = this.#placeAt(source.range?.[0] ?? 0);
      const target = source.resolve(this.#document);
      if (target !== undefined) return this.node(target, path, place);
      this.#faults.push({ place, path, message: "no anchor (`&name`) of this name stands before it; a value that begins with `*` needs quotes" });
      return { ...nothing, place };
    }
    if (isScalar(source)) return this.#scalar(source, fallback);
    if (isSeq(source)) {
      const place = this.#placeAt(source.range?.[0] ?? 0);
      return { kind: "list", place, items: source.items.map((item, index) => this.node(item, [...path, index], place)) };
    }
    if (isMap(source)) return this.#map(source, path);
    return nothing;
  }

  #scalar(source: Scalar, fallback: Place): ScalarNode {
    const { value } = source;
    const place = source.range === undefined || source.range === null ? fallback : this.#placeAt(source.range[0]);
    const isPlain = typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null;
    const known = isPlain ? value : String(source.source ?? "");
    return { kind: "scalar", place, value: known, text: typeof known === "string" ? known : (source.source ?? String(known)), isResolved: false };
  }

  #map(source: { items: readonly { key: unknown; value: unknown }[]; range?: readonly number[] | null | undefined }, path: Path): MapNode {
    const place = this.#placeAt(source.range?.[0] ?? 0);
    const own = new Map<string, Entry>();
    const merged = new Map<string, Entry>();
    for (const { key, value } of source.items) {
      const keyPlace = isScalar(key) && key.range !== undefined && key.range !== null ? this.#placeAt(key.range[0]) : place;
      if (isScalar(key) && (key.value === "<<" || typeof key.value === "symbol")) {
        const base = this.node(value, path, keyPlace);
        for (const part of base.kind === "list" ? base.items : [base]) {
          if (part.kind === "map") for (const [name, entry] of part.entries) if (!merged.has(name)) merged.set(name, entry);
        }
        continue;
      }
      if (!isScalar(key)) {
        this.#faults.push({ place: keyPlace, path, message: "a key must be a plain word" });
        continue;
      }
      const name = typeof key.value === "string" ? key.value : String(key.source ?? key.value);
      if (!own.has(name)) own.set(name, { keyPlace, value: this.node(value, [...path, name], keyPlace) });
    }
    for (const [name, entry] of merged) if (!own.has(name)) own.set(name, entry);
    return { kind: "map", place, entries: own };
  }
}

/**
 * `models[0].targets[1].provider`; keys that are no plain words stand in brackets and quotes. Of a long key with spaces
 * only the first word is shown: where its colon was forgotten, the rest is a value, perhaps a secret.
 */
export function formatPath(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[\w-]+$/.test(part)) text += text === "" ? part : `.${part}`;
    else text += `["${part.replace(/\s[^]{12,}/, " …")}"]`;
  }
  return text;
}

/** The node at a path; undefined when the file has none. */
export function nodeAt(root: Node, path: Path): Node | undefined {
  let node: Node | undefined = root;
  for (const part of path) {
    if (node?.kind === "map") node = node.entries.get(String(part))?.value;
    else if (node?.kind === "list") node = node.items[Number(part)];
    else return undefined;
  }
  return node;
}

/** Where a path's value stands, or the nearest part above it that does. */
export function placeAt(root: Node, path: Path): Place {
  for (let length = path.length; length >= 0; length--) {
    const node = nodeAt(root, path.slice(0, length));
    if (node !== undefined) return node.place;
  }
  return root.place;
}

/** Where a path's key stands: for remarks on the name, not the value. */
export function keyPlaceAt(root: Node, path: Path): Place {
  const parent = nodeAt(root, path.slice(0, -1));
  const entry = parent?.kind === "map" ? parent.entries.get(String(path.at(-1))) : undefined;
  return entry?.keyPlace ?? placeAt(root, path);
}

/** Plain values for a schema. `null` becomes undefined, so that an empty section counts as absent; no prototypes. */
export function plainValue(node: Node): unknown {
  if (node.kind === "scalar") return node.value ?? undefined;
  if (node.kind === "list") return node.items.map(plainValue);
  const result = Object.create(null) as Record<string, unknown>;
  for (const [name, { value }] of node.entries) result[name] = plainValue(value);
  return result;
}

/** The tree with every scalar replaced. */
export function mapScalars(node: Node, change: (scalar: ScalarNode, path: Path) => ScalarNode, path: Path = []): Node {
  if (node.kind === "scalar") return change(node, path);
  if (node.kind === "list") return { ...node, items: node.items.map((item, index) => mapScalars(item, change, [...path, index])) };
  const entries = new Map<string, Entry>();
  for (const [name, entry] of node.entries) entries.set(name, { ...entry, value: mapScalars(entry.value, change, [...path, name]) });
  return { ...node, entries };
}
