/** Form of a row of LiteLLM's key table, apart from the rows themselves. */

/** Part of the file a key belongs to. */
export type KeySection = "top" | "model" | "params" | "info" | "router" | "litellm" | "general" | "credential";

/** What becomes of a key. */
export interface KeyRow {
  readonly section: KeySection;
  /** The key; a `*` in it stands for any letters. */
  readonly name: string;
  readonly verdict: "supported" | "not_yet" | "ignored";
  /** Dropping it would allow what it forbids: the start is refused until the operator accepts that. */
  readonly restricts: boolean;
  /** What it does here, when it will, or why it does nothing. */
  readonly reason: string;
}

/** A row per name: names are separated by spaces, and one with a `!` in front restricts. */
export function keyRows(section: KeySection, verdict: KeyRow["verdict"], names: string, reason: string): readonly KeyRow[] {
  return names.split(/\s+/).map((word): KeyRow => ({ section, name: word.replace("!", ""), verdict, restricts: word.startsWith("!"), reason }));
}
