/** LiteLLM's limits of deployments and of the whole proxy, as rules of ours. */
import type { LimitKind } from "../limits/limit.ts";
import type { LimitRule } from "../limits/limit-rules.ts";
import { createFieldReader, member, type Field } from "./litellm-values.ts";
import type { LoadContext } from "./sections.ts";

/** Of an entry's `litellm_params`. */
const deploymentLimits: readonly (readonly [string, LimitKind])[] = [
  ["rpm", "requestsPerMinute"], ["tpm", "tokensPerMinute"], ["itpm", "inputTokensPerMinute"], ["otpm", "outputTokensPerMinute"], ["max_parallel_requests", "parallelRequests"],
];

/** Of the same: what each key may use of the model, unless it has limits of its own for it. */
const keyLimits: readonly (readonly [string, LimitKind])[] = [["default_api_key_rpm_limit", "requestsPerMinute"], ["default_api_key_tpm_limit", "tokensPerMinute"]];

/** A first entry of a name. */
export interface LimitedEntry {
  readonly name: string;
  readonly targetId: string;
  /** Of its `litellm_params`, by name. */
  readonly param: (name: string) => Field | undefined;
}

/** @returns a rule for the entry's target and one for the keys that use its model, each where there are limits */
export function readEntryLimits({ name, targetId, param }: LimitedEntry, context: LoadContext): readonly LimitRule[] {
  const read = (scope: string, members: readonly (readonly [string, LimitKind])[]): LimitRule => {
    const found = members.map(([member, kind]) => [kind, readCount(param(member), context)] as const).filter(([, value]) => value !== undefined);
    return { scope, max: Object.fromEntries(found) };
  };
  if (name.includes("*")) {
    for (const [member] of keyLimits) {
      const field = param(member);
      if (field !== undefined) context.report.fail(field.node.place, field.path, "is for an entry that names one model: of a name with `*` it cannot be told which models share it");
    }
    return [read(`target:${targetId}`, deploymentLimits)].filter(hasLimits);
  }
  return [read(`target:${targetId}`, deploymentLimits), read(`key_model:*/${name}`, keyLimits)].filter(hasLimits);
}

function hasLimits({ max }: LimitRule): boolean {
  return Object.keys(max).length > 0;
}

/** @param sections of the file, by name */
export function readProxyLimits({ general, router, library }: { readonly general: Field | undefined; readonly router: Field | undefined; readonly library: Field | undefined }, context: LoadContext): readonly LimitRule[] {
  const places: readonly (readonly [Field | undefined, string])[] = [
    [member(general, "global_max_parallel_requests"), "global"],
    [member(general, "max_parallel_requests") ?? member(library, "max_parallel_requests") ?? member(router, "default_max_parallel_requests"), "target:*"],
  ];
  return places.flatMap(([field, scope]) => {
    const parallelRequests = readCount(field, context);
    return parallelRequests === undefined ? [] : [{ scope, max: { parallelRequests } }];
  });
}

function readCount(field: Field | undefined, { env, report }: LoadContext): number | undefined {
  const text = createFieldReader(env, report).text(field);
  if (field === undefined || text === undefined) return undefined;
  const value = /^\d{1,12}$/.test(text) ? Number(text) : undefined;
  if (value === undefined) report.fail(field.node.place, field.path, "must be a whole number of at least 0");
  return value;
}
