/**
 * The lines of the spill file. Each is JSON of its own with a checksum of its exact text, so that a line that was torn by a crash, or
 * damaged since, is known for what it is and never read as money.
 */
import { crc32 } from "node:zlib";
import type { AttemptClosing, AttemptOpening } from "../../pipeline/books.ts";

/** One write of the journal. */
export type SpillEntry =
  | { readonly kind: "opening"; readonly opening: AttemptOpening }
  | { readonly kind: "hold"; readonly attemptId: AttemptOpening["attemptId"]; readonly holdNanoUsd: bigint }
  | { readonly kind: "closing"; readonly closing: AttemptClosing };

/** What a file held. */
export interface SpillContent {
  readonly entries: readonly SpillEntry[];
  /** Lines before the last that cannot be read: the file was damaged after it was written. A torn last line is ordinary. */
  readonly damagedLines: number;
}

/** `["<checksum>",<entry>]` and a line feed. Amounts of money, whose names end in `NanoUsd`, are decimal strings. */
export function encodeSpillLine(entry: SpillEntry): string {
  const text = JSON.stringify(entry, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
  return `["${checksumOf(text)}",${text}]\n`;
}

/** @param text of the whole file; it may end anywhere */
export function decodeSpill(text: string): SpillContent {
  const lines = text.split("\n");
  const entries = lines.map(decodeLine);
  const last = entries.findLastIndex((_, index) => lines[index] !== "");
  return {
    entries: entries.filter((entry) => entry !== undefined),
    damagedLines: entries.filter((entry, index) => entry === undefined && lines[index] !== "" && index !== last).length,
  };
}

function decodeLine(line: string): SpillEntry | undefined {
  const match = /^\["([0-9a-f]{8})",(.*)\]$/s.exec(line);
  if (match === null || checksumOf(match[2]!) !== match[1]) return undefined;
  return JSON.parse(match[2]!, (name: string, value: unknown) => (name.endsWith("NanoUsd") && typeof value === "string" ? BigInt(value) : value)) as SpillEntry;
}

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, "0");
}
