/** Merges the usage members of a reply into disjoint counts. Whatever the upstream sends, the result is sane or marked. */
import type { TokenCounts, UsagePart } from "../../kernel/usage.ts";
import type { ObservedUsage, ReadUsage } from "../dialect.ts";

const usageJsonLengthMax = 4096;
/** Beyond this a token count is a fault of the upstream, not a request. */
const tokensMax = 2 ** 32;

type Members = Record<string, unknown>;

/** Collects usage objects in the order they come. */
export interface UsageMerge {
  add(usage: unknown, stage: "started" | "final"): void;
  result(): Omit<ObservedUsage, "outputCharacters">;
  json(): string;
}

export function createUsageMerge(): UsageMerge {
  const merged: Members = {};
  let stage: ObservedUsage["stage"] = "nothing";
  return {
    add(usage, reached) {
      if (!isMembers(usage)) return;
      for (const [name, value] of Object.entries(usage)) {
        if (value !== null && value !== undefined && name !== "__proto__") merged[name] = value;
      }
      if (stage !== "final") stage = reached;
    },
    result() {
      const faults: string[] = [];
      const parts = partsOf(merged, faults);
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
      const text = JSON.stringify(merged);
      return text.length <= usageJsonLengthMax ? text : "";
    },
  };
}

/** The report that `json()` wrote, read by the rules it was booked by; undefined for anything else. */
export function readUsage(usageJson: string): ReadUsage | undefined {
  const merge = createUsageMerge();
  try {
    merge.add(JSON.parse(usageJson), "final");
  } catch {
    return undefined;
  }
  const { stage, parts, speed, inferenceGeo, serviceTier } = merge.result();
  return stage === "nothing" ? undefined : { parts, speed, inferenceGeo, serviceTier };
}

function partsOf(merged: Members, faults: string[]): UsagePart[] {
  const iterations = merged["iterations"];
  if (Array.isArray(iterations) && iterations.length > 0 && iterations.every(isMembers)) {
    return iterations.map((iteration) => ({ counts: countsOf(iteration, faults), model: textOf(iteration["model"]) }));
  }
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
