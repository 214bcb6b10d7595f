/**
 * K4: the one type that holds a credential. However it is printed, it says `[secret]`; the text comes out through
 * `reveal()` only, which the architecture test allows in the few files that put it on a wire or hash it.
 */
import { inspect } from "node:util";

/** A credential that cannot be printed by accident. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The clear text. */
  reveal(): string {
    return this.#value;
  }

  /** Whether both hold the same text. For settings of the operator's own; what callers send is never compared. */
  equals(other: Secret): boolean {
    return this.#value === other.#value;
  }

  /** Length in UTF-16 units, so that strength can be judged without revealing. */
  get length(): number {
    return this.#value.length;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [Symbol.toPrimitive](): string {
    return "[secret]";
  }

  [inspect.custom](): string {
    return "[secret]";
  }
}
