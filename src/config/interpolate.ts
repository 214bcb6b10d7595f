/** `${NAME}` and `${file:path}` inside the string values of a native file. What was put in is never looked at again. */
import { mapScalars, type MapNode, type Path, type Remark, type ScalarNode } from "./document.ts";

/** Where references lead. */
export interface References {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Text of a file, its path as written; throws when it cannot be read. */
  readFile(path: string): string;
}

/**
 * Replaces all references. `$${` stands for `${`.
 *
 * @returns the tree, with what could not be resolved left empty, and a fault for each such place
 */
export function interpolate(root: MapNode, references: References): { readonly root: MapNode; readonly faults: readonly Remark[] } {
  const faults: Remark[] = [];
  const changed = mapScalars(root, (scalar, path) => interpolateScalar(scalar, path, references, faults));
  return { root: changed.kind === "map" ? changed : root, faults };
}

function interpolateScalar(scalar: ScalarNode, path: Path, references: References, faults: Remark[]): ScalarNode {
  if (typeof scalar.value !== "string" || !scalar.value.includes("${")) return scalar;
  let isResolved = false;
  const text = scalar.value.replaceAll(/\$\$\{|\$\{([^}]*)(\}?)/g, (match, name: string | undefined, end: string | undefined) => {
    if (name === undefined) return "${";
    isResolved = true;
    const found = end === "" ? { fault: "`${` has no closing brace; write `$${` for the characters themselves" } : resolve(name, references);
    if ("text" in found) return found.text;
    faults.push({ place: scalar.place, path, message: found.fault });
    return "";
  });
  return { ...scalar, value: text, text, isResolved: isResolved || scalar.isResolved };
}

function resolve(name: string, references: References): { readonly text: string } | { readonly fault: string } {
  if (name.startsWith("file:")) {
    const path = name.slice("file:".length);
    try {
      // Editors and `echo` end files with a line break that is no part of the secret.
      const text = references.readFile(path).replace(/\r?\n$/, "");
      return text === "" ? { fault: `the file ${path} is empty` } : { text };
    } catch (error) {
      return { fault: `the file ${path} cannot be read (${codeOf(error)})` };
    }
  }
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return { fault: "`${…}` takes the name of an environment variable, or `file:` and a path; write `$${` for the characters themselves" };
  const value = references.env[name];
  if (value === undefined) return { fault: `the environment variable ${name} is not set` };
  return value === "" ? { fault: `the environment variable ${name} is empty` } : { text: value };
}

/** The system's word for a failed read, such as `ENOENT`; messages are left out because they may quote content. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown reason";
}
