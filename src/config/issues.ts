/** A schema's complaints as sentences at places of the file: nearest names for unknown keys, no values, one per fault. */
import { z } from "zod";
import { keyPlaceAt, nodeAt, placeAt, type MapNode, type Path, type Remark } from "./document.ts";
import { suggestion } from "./nearest.ts";

type Issue = z.core.$ZodIssue;

/**
 * @param root the file
 * @param base where in the file the checked value stands
 * @param schema what it was checked with; its keys are what unknown ones are compared with
 */
export function remarksOf(issues: readonly Issue[], root: MapNode, base: Path, schema: z.ZodType): readonly Remark[] {
  return issues.flatMap((issue): Remark[] => {
    const own = issue.path.map((part) => (typeof part === "symbol" ? String(part) : part));
    const path = [...base, ...own];
    if (issue.code === "unrecognized_keys") {
      const known = knownKeys(schema, own);
      return issue.keys.map((key) => ({ place: keyPlaceAt(root, [...path, key]), path: [...path, key], message: unknownKey(key, known) }));
    }
    const isAboutKey = issue.code === "invalid_key" || (issue.code === "custom" && issue.params?.["isAboutKey"] === true);
    return [{ place: isAboutKey ? keyPlaceAt(root, path) : placeAt(root, path), path, message: sentence(issue, isEmptyAt(root, path)) }];
  });
}

/** "unknown key", with the nearest known one, or all of them when none is near. */
export function unknownKey(key: string, known: readonly string[]): string {
  const near = suggestion(key, known);
  return `unknown key${near !== "" || known.length === 0 ? near : `; known here: ${known.join(", ")}`}`;
}

function isEmptyAt(root: MapNode, path: Path): boolean {
  const node = nodeAt(root, path);
  return node === undefined || (node.kind === "scalar" && node.value === null);
}

function sentence(issue: Issue, isMissing: boolean): string {
  if (isMissing && (issue.code === "invalid_type" || issue.code === "invalid_union" || issue.code === "invalid_value")) return "is required";
  if (issue.code === "invalid_union" && issue.message === "Invalid input") {
    // What the branch says that got furthest; a wrong type is the least telling.
    const inner = issue.errors.flat();
    const best = inner.find(({ code }) => code !== "invalid_type" && code !== "custom") ?? inner.find((part) => part.code === "invalid_type" && part.expected in nouns) ?? inner[0];
    return best === undefined ? "is not valid" : sentence(best, false);
  }
  if (issue.code === "invalid_type" && issue.message.startsWith("Invalid input")) return `must be ${nouns[issue.expected] ?? issue.expected}`;
  if (issue.code === "too_small" && issue.origin === "string" && issue.message.startsWith("Too small")) return "must not be empty";
  if (issue.code === "invalid_value" && issue.message.startsWith("Invalid")) return `must be ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}`;
  return issue.message;
}

const nouns: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping of keys to values",
  record: "a mapping of names to values",
};

/** Keys that the schema knows at a path; empty where it takes any. */
export function knownKeys(schema: z.ZodType, path: readonly (string | number)[]): readonly string[] {
  const at = path.reduce<z.ZodType | undefined>((current, part) => (current === undefined ? undefined : inner(unwrapped(current), part)), schema);
  const end = at === undefined ? undefined : unwrapped(at);
  return end instanceof z.ZodObject ? Object.keys(end.shape) : [];
}

function inner(schema: z.ZodType, part: string | number): z.ZodType | undefined {
  if (schema instanceof z.ZodObject) return (schema.shape as Record<string, z.ZodType>)[String(part)];
  if (schema instanceof z.ZodArray) return schema.element as z.ZodType;
  return schema instanceof z.ZodRecord ? (schema.valueType as z.ZodType) : undefined;
}

/** Without `optional`, defaults and transforms around it. */
function unwrapped(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodNullable) return unwrapped(schema.unwrap() as z.ZodType);
  return schema instanceof z.ZodPipe ? unwrapped(schema.in as z.ZodType) : schema;
}
