/**
 * The search for strings that must not be where they are: plain, in part, and in the codings that hide them from the eye.
 */

/** A value in every form that would betray it. Keys may show their prefix and their last four characters. */
export function formsOf(value: string): readonly string[] {
  const bytes = Buffer.from(value);
  const base64 = [0, 1, 2].map((shift) => {
    const moved = Buffer.concat([Buffer.alloc(shift), bytes]);
    return moved.subarray(0, moved.length - (moved.length % 3)).toString("base64").slice(shift === 0 ? 0 : shift + 1);
  });
  const middle = value.slice(Math.floor(value.length / 2) - 10, Math.floor(value.length / 2) + 6);
  const forms = [value, middle, encodeURIComponent(value), encodeURIComponent(value).toLowerCase(), JSON.stringify(value).slice(1, -1), bytes.toString("hex"), ...base64, ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"))];
  return [...new Set(forms)];
}

/** Something that came out of the program, and the names of what may stand in it. */
export interface CanaryOutput<Name extends string> {
  readonly where: string;
  readonly bytes: Buffer;
  readonly allowed: readonly Name[];
}

/** A sentence for each value that stands in an output where it may not, with what is around it. */
export function findCanaries<Name extends string>(values: ReadonlyMap<Name, string>, outputs: readonly CanaryOutput<Name>[]): string[] {
  const forms = [...values].map(([name, value]) => ({ name, forms: formsOf(value).map((form) => Buffer.from(form)) }));
  return outputs.flatMap(({ where, bytes, allowed }) =>
    forms
      .filter(({ name }) => !allowed.includes(name))
      .flatMap(({ name, forms: sought }) => {
        const found = sought.find((form) => bytes.includes(form));
        if (found === undefined) return [];
        const at = bytes.indexOf(found);
        return [`${name} in ${where}: …${bytes.toString("utf8", Math.max(0, at - 160), at + found.length + 40)}…`];
      }),
  );
}
