/** Reading replies whose shape is the gateway's promise but not the compiler's: a missing member becomes an empty value. */

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The object itself, or an empty one. */
export function objectOf(value: unknown): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

/** The elements, or none. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A string, or a number or boolean as text; else empty. */
export function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

/** A finite number, also one written as text; else 0. */
export function numberOf(value: unknown): number {
  const number = typeof value === "string" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : 0;
}

/** How a result is printed for programs. */
export function renderJson(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}
