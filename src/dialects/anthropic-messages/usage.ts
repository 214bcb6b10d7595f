/** Merges the usage members of a reply into disjoint counts. Whatever the upstream sends, the result is sane or marked. */
import type { TokenCounts, UsagePart } from "../../kernel/usage.ts";
import type { ObservedUsage, ReadUsage } from "../dialect.ts";
import { noRefusal, unbilledParts, type MeasuredPart, type RefusalMarks } from "./refusals.ts";

const usageJsonLengthMax = 4096;
/** Beyond this a token count is a fault of the upstream, not a request. */
const tokensMax = 2 ** 32;

/** Ours, added to a kept report: indexes of the parts that were not billed by the rules of their day. */
const unbilledName = "tollgate_unbilled_parts";

type Members = Record<string, unknown>;

/** Collects usage objects in the order they come. */
export interface UsageMerge {
  add(usage: unknown, stage: "started" | "final"): void;
  /** What the reply's end and its blocks tell about refusals; counts only beside a final usage. */
  mark(marks: RefusalMarks): void;
  result(): Omit<ObservedUsage, "outputCharacters">;
  json(): string;
}

export function createUsageMerge(): UsageMerge {
  const merged: Members = {};
  let stage: ObservedUsage["stage"] = "nothing";
  let marks = noRefusal;
  /** None where a count was absurd: it was taken as 0, which must not read as "no output". */
  const unbilledOf = (faults: readonly string[]): readonly number[] => (stage === "final" && faults.length === 0 ? unbilledParts(measuredParts(merged), marks) : []);
  return {
    add(usage, reached) {
      if (!isMembers(usage)) return;
      for (const [name, value] of Object.entries(usage)) {
        if (value !== null && value !== undefined && name !== "__proto__" && name !== unbilledName) merged[name] = value;
      }
      if (stage !== "final") stage = reached;
    },
    mark(told) {
      marks = told;
    },
    result() {
      const faults: string[] = [];
      const reported = partsOf(merged, faults);
      const parts = withUnbilled(reported, unbilledOf(faults));
      return {
        stage,
        parts: stage === "nothing" ? [] : parts,
        serverToolUses: toolUses(merged["server_tool_use"], faults),
        speed: textOf(merged["speed"]),
        inferenceGeo: textOf(merged["inference_geo"]),
        serviceTier: textOf(merged["service_tier"]),
        isPlausible: faults.length === 0,
      };
    },
    json() {
      if (stage === "nothing") return "";
      const faults: string[] = [];
      partsOf(merged, faults);
      const unbilled = unbilledOf(faults);
      const text = JSON.stringify(unbilled.length === 0 ? merged : { ...merged, [unbilledName]: unbilled });
      return text.length <= usageJsonLengthMax ? text : "";
    },
  };
}

/** The report that `json()` wrote, read by the rules it was booked by; undefined for anything else. */
export function readUsage(usageJson: string): ReadUsage | undefined {
  const merge = createUsageMerge();
  let unbilled: unknown;
  try {
    const kept: unknown = JSON.parse(usageJson);
    merge.add(kept, "final");
    if (isMembers(kept)) unbilled = kept[unbilledName];
  } catch {
    return undefined;
  }
  const { stage, parts, speed, inferenceGeo, serviceTier } = merge.result();
  if (stage === "nothing") return undefined;
  return { parts: withUnbilled(parts, Array.isArray(unbilled) ? unbilled : []), speed, inferenceGeo, serviceTier };
}

function withUnbilled(parts: readonly UsagePart[], unbilled: readonly unknown[]): readonly UsagePart[] {
  return unbilled.length === 0 ? parts : parts.map((part, index) => (unbilled.includes(index) ? { ...part, isBilled: false } : part));
}

/** What decides about billing, part by part. A usage without entries is that of one message; a count that is missing may be any. */
function measuredParts(merged: Members): readonly MeasuredPart[] {
  const outputTokens = (members: Members): number => (typeof members["output_tokens"] === "number" ? members["output_tokens"] : Infinity);
  const iterations = entriesOf(merged);
  if (iterations === undefined) return [{ type: "message", model: undefined, outputTokens: outputTokens(merged) }];
  return iterations.map((iteration) => ({ type: textOf(iteration["type"]), model: textOf(iteration["model"]), outputTokens: outputTokens(iteration) }));
}

function entriesOf(merged: Members): readonly Members[] | undefined {
  const iterations = merged["iterations"];
  return Array.isArray(iterations) && iterations.length > 0 && iterations.every(isMembers) ? iterations : undefined;
}

function partsOf(merged: Members, faults: string[]): UsagePart[] {
  const iterations = entriesOf(merged);
  if (iterations !== undefined) return iterations.map((iteration) => ({ counts: countsOf(iteration, faults), model: textOf(iteration["model"]) }));
  return [{ counts: countsOf(merged, faults), model: undefined }];
}

/**
 * The split of cache writes by lifetime is believed where it is given. A total that differs from it was corrected later:
 * a surplus counts as five-minute writes, a deficit is taken from them first.
 */
function countsOf(members: Members, faults: string[]): TokenCounts {
  const count = (name: string, from: Members = members): number => tokenCount(from[name], name, faults);
  const split = isMembers(members["cache_creation"]) ? members["cache_creation"] : {};
  let cacheWrite5m = count("ephemeral_5m_input_tokens", split);
  let cacheWrite1h = count("ephemeral_1h_input_tokens", split);
  if (members["cache_creation_input_tokens"] !== undefined && members["cache_creation_input_tokens"] !== null) {
    const difference = count("cache_creation_input_tokens") - cacheWrite5m - cacheWrite1h;
    const from5m = Math.max(difference, -cacheWrite5m);
    cacheWrite5m += from5m;
    cacheWrite1h += difference - from5m;
  }
  return { input: count("input_tokens"), cacheRead: count("cache_read_input_tokens"), cacheWrite5m, cacheWrite1h, output: count("output_tokens") };
}

function tokenCount(value: unknown, name: string, faults: string[]): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= tokensMax) return value;
  faults.push(name);
  return 0;
}

function toolUses(value: unknown, faults: string[]): Record<string, number> {
  const uses: Record<string, number> = {};
  if (!isMembers(value)) return uses;
  for (const [name, count] of Object.entries(value).slice(0, 32)) {
    const checked = tokenCount(count, name, faults);
    if (checked > 0 && name !== "__proto__") uses[name] = checked;
  }
  return uses;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" && value.length <= 128 ? value : undefined;
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
