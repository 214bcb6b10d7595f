/** Values of a LiteLLM file: `os.environ/NAME`, seconds, prices per token. Read only where a key is in use. */
import { parseDecimal } from "../kernel/money.ts";
import type { MapNode, Node, Path } from "./document.ts";
import type { Report } from "./report.ts";

/** A value with its path, so that complaints find it wherever it came from. */
export interface Field {
  readonly node: Node;
  readonly path: Path;
}

/** Reads fields; each complaint names the key, and the variable where one is missing. */
export interface FieldReader {
  /** Undefined when absent, empty or, after a complaint, not a plain value. */
  text(field: Field | undefined): string | undefined;
  /** Seconds above 0, as milliseconds. */
  seconds(field: Field | undefined): number | undefined;
  /** US dollars per token, as µUSD per million tokens. */
  price(field: Field | undefined): bigint | undefined;
  /** Plain values of a list. */
  texts(field: Field | undefined): readonly string[];
}

const environmentPrefix = "os.environ/";
/** A dollar per token is beyond every price by orders of magnitude: somebody wrote dollars per million. */
const priceMicroUsdMax = 1_000_000_000_000n;

export function createFieldReader(env: Readonly<Record<string, string | undefined>>, report: Report): FieldReader {
  const text = (field: Field | undefined): string | undefined => {
    if (field === undefined) return undefined;
    const { node, path } = field;
    if (node.kind !== "scalar") {
      report.fail(node.place, path, "must be a single value");
      return undefined;
    }
    if (node.value === null || node.text === "") return undefined;
    if (!node.text.startsWith(environmentPrefix)) return node.text;
    const name = node.text.slice(environmentPrefix.length);
    const value = env[name];
    if (value !== undefined && value !== "") return value;
    // The name is shown only when it can be one: a secret pasted behind the prefix stays unseen.
    const variable = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? `the environment variable ${name}` : "the environment variable";
    report.fail(node.place, path, `${variable} is ${value === undefined ? "not set" : "empty"}`);
    return undefined;
  };
  return {
    text,
    seconds(field) {
      const value = text(field);
      if (field === undefined || value === undefined) return undefined;
      const ms = /^\d*\.?\d+$/.test(value) ? Math.round(Number(value) * 1_000) : 0;
      if (ms >= 1 && ms <= 2_147_483_647) return ms;
      report.fail(field.node.place, field.path, "must be a number of seconds above 0");
      return undefined;
    },
    price(field) {
      const value = text(field);
      if (field === undefined || value === undefined) return undefined;
      const price = parseDecimal(value.startsWith(".") ? `0${value}` : value, 12);
      if (price !== undefined && price >= 0n && price <= priceMicroUsdMax) return price;
      report.fail(field.node.place, field.path, "must be US dollars per token, for instance 0.000003 for 3 dollars per million");
      return undefined;
    },
    texts(field) {
      if (field === undefined || (field.node.kind === "scalar" && field.node.value === null)) return [];
      const { node, path } = field;
      if (node.kind === "list") return node.items.flatMap((item, index) => text({ node: item, path: [...path, index] }) ?? []);
      report.fail(node.place, path, "must be a list");
      return [];
    },
  };
}

/** LiteLLM's parser takes YAML 1.1's words for yes. */
export function isTrue(node: Node | undefined): boolean {
  return node?.kind === "scalar" && (node.value === true || /^(?:true|yes|on)$/i.test(node.text));
}

/** A member of a mapping; undefined when it is not there. */
export function member(map: Field | undefined, name: string): Field | undefined {
  if (map?.node.kind !== "map") return undefined;
  const entry = map.node.entries.get(name);
  return entry === undefined ? undefined : { node: entry.value, path: [...map.path, name] };
}

/** A section of a file as a mapping; anything else is reported. */
export function sectionOf(root: MapNode, name: string, report: Report): Field | undefined {
  const node = root.entries.get(name)?.value;
  if (node === undefined || (node.kind === "scalar" && node.value === null)) return undefined;
  if (node.kind === "map") return { node, path: [name] };
  report.fail(node.place, [name], "must be a mapping of keys to values");
  return undefined;
}
