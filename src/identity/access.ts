/** Which models a principal may use. Pure; the same answer for a request, the model list and the hints in an error. */
import type { Principal } from "./principal.ts";

/** LiteLLM's names for "everything". This build keeps no team's model list, so a team's models are all models. */
const everything = new Set(["*", "all-proxy-models", "all-team-models"]);
/** LiteLLM's name for "nothing by itself": a key with only this one may use no model. */
const nothing = "no-default-models";

/**
 * @param principal whose key's `models` decide; empty: all. The admin key has no list: whether it may infer is decided elsewhere
 * @param publicModelName the name after aliases, as the configuration has it; compared case by case
 * @param accessGroups groups that the model belongs to
 */
export function mayUseModel(principal: Principal, publicModelName: string, accessGroups: readonly string[]): boolean {
  const models = principal.key?.models;
  if (models === undefined || models.length === 0) return true;
  return models.some((entry) => {
    if (entry === nothing) return false;
    return everything.has(entry) || entry === publicModelName || accessGroups.includes(entry) || (entry.includes("*") && matchesPattern(entry, publicModelName));
  });
}

/**
 * Whether `*`, any number of times, each for any run of characters also an empty one, makes the pattern the name. Linear in
 * memory and at worst pattern × name in time, unlike a regular expression made of somebody's text.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  let patternAt = 0;
  let nameAt = 0;
  let starAt = -1;
  let resumeAt = 0;
  while (nameAt < name.length) {
    if (pattern[patternAt] === "*") {
      starAt = patternAt++;
      resumeAt = nameAt;
    } else if (pattern[patternAt] === name[nameAt]) {
      patternAt++;
      nameAt++;
    } else if (starAt !== -1) {
      patternAt = starAt + 1;
      nameAt = ++resumeAt;
    } else return false;
  }
  while (pattern[patternAt] === "*") patternAt++;
  return patternAt === pattern.length;
}

/** The served name for a requested one: one step through the key's own aliases, never a chain. */
export function resolveAlias(aliases: Readonly<Record<string, string>>, name: string): string {
  return Object.hasOwn(aliases, name) ? aliases[name]! : name;
}
