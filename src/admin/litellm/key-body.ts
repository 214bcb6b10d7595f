/**
 * Bodies of LiteLLM's `/key/*` calls, checked and translated. Fields that LiteLLM knows and this build does not act on are
 * refused unless they are empty: a restriction that is accepted and not kept is worse than an error.
 */
import { z } from "zod";
import { fieldInvalid, isEmptyValue, parseFields, shownName } from "../fields.ts";
import type { KeyFields } from "../keys.ts";
import { cap, count, dollars, modelBudgets, modelName, name, nameLengthMax, withoutAbsent } from "./wire-values.ts";

const listLengthMax = 1_000;
const metadataBytesMax = 16 * 1024;

/**
 * Fields of LiteLLM's key endpoints that nothing here acts on (BerriAI/litellm, `GenerateKeyRequest` and
 * `UpdateKeyRequest`, as of 1.104).
 */
export const unactedFields: readonly string[] = [
  "project_id",
  "agent_id",
  "budget_fallbacks",
  "tpm_limit_type",
  "rpm_limit_type",
  "default_estimated_output_tokens",
  "default_estimated_output_tokens_per_model",
  "guardrails",
  "policies",
  "prompts",
  "enforced_params",
  "disable_global_guardrails",
  "permissions",
  "config",
  "router_settings",
  "allowed_cache_controls",
  "allowed_routes",
  "allowed_passthrough_routes",
  "key_type",
  "object_permission",
  "access_group_ids",
  "auto_rotate",
  "rotation_interval",
  "send_invite_email",
  "spend",
  "temp_budget_increase",
  "temp_budget_expiry",
  "new_master_key",
];
const unacted = new Set(unactedFields);

/** Members of `metadata` in which LiteLLM hides the same; the others are the operator's own and are kept as they are. */
const unactedMetadata = ["guardrails", "policies", "prompts", "enforced_params", "logging", "temp_budget_increase", "temp_budget_expiry"];

/** Values that ask for what this build does anyway. */
const harmless: Readonly<Record<string, unknown>> = { spend: 0, key_type: "default" };

const modelCounts = z.record(modelName, count, "it must be an object of models and whole numbers");
const projectNames = z.array(name, "it must be a list of names").max(listLengthMax, `it must have at most ${listLengthMax} entries`);
const freeObject = z
  .record(z.string(), z.unknown(), "it must be an object")
  .refine((value) => Buffer.byteLength(JSON.stringify(value)) <= metadataBytesMax, `it must have at most ${metadataBytesMax} bytes`);

const budgetLimits = z
  .array(cap, "it must be a list of caps")
  .max(100, "it must have at most 100 entries")
  .refine((caps) => new Set(caps.map(({ budgetDuration }) => budgetDuration)).size === caps.length, "two entries have the same span");

/** A null leaves lists, maps and switches as they are, and clears single values; so no null ever widens what a key may use. */
const keyFields = {
  key_alias: name.nullish(),
  user_id: name.nullish(),
  team_id: name.nullish(),
  // LiteLLM's own page sends none as an empty text.
  organization_id: z.union([z.literal("").transform(() => null), name]).nullish(),
  models: z.array(modelName, "it must be a list of names").max(listLengthMax, `it must have at most ${listLengthMax} entries`).nullish(),
  aliases: z.record(modelName, modelName, "it must be an object of names").nullish(),
  max_budget: dollars.nullish(),
  budget_duration: z.string("it must be a span such as 30d").nullish(),
  soft_budget: dollars.nullish(),
  budget_limits: budgetLimits.nullish(),
  model_max_budget: modelBudgets.nullish(),
  // LiteLLM's own page sends none as an empty text.
  budget_id: z.union([z.literal("").transform(() => null), name]).nullish(),
  run_budget_usd: dollars.nullish(),
  duration: z.string("it must be a span such as 30d").nullish(),
  metadata: freeObject.nullish(),
  tags: z.array(name, "it must be a list of texts").max(listLengthMax, `it must have at most ${listLengthMax} entries`).nullish(),
  rpm_limit: count.nullish(),
  tpm_limit: count.nullish(),
  max_parallel_requests: count.nullish(),
  model_rpm_limit: modelCounts.nullish(),
  allowed_projects: projectNames.nullish(),
  model_tpm_limit: modelCounts.nullish(),
  blocked: z.boolean("it must be true or false").nullish(),
};
const keyReference = z.string("it must be a key or its hash").min(1, "it must not be empty").max(nameLengthMax, "it is too long");
const references = z.array(keyReference, "it must be a list").max(listLengthMax, `it must have at most ${listLengthMax} entries`);

const generateSchema = z.strictObject({ ...keyFields, key: z.string("it must be a text").nullish() }, "it must be a JSON object");
const updateSchema = z.strictObject({ ...keyFields, key: keyReference }, "it must be a JSON object");
const regenerateSchema = z.strictObject(
  { ...keyFields, key: keyReference.nullish(), new_key: z.string("it must be a text").nullish(), grace_period: z.string("it must be a span such as 10m").nullish() },
  "it must be a JSON object",
);
const blockSchema = z.strictObject({ key: keyReference }, "it must be a JSON object");
const deleteSchema = z.strictObject({ keys: references.nullish(), key_aliases: references.nullish() }, "it must be a JSON object");

type WireFields = z.infer<z.ZodObject<typeof keyFields>>;

/** `POST /key/generate`. @throws GatewayError `client_field_invalid` */
export function parseGenerate(body: unknown): KeyFields & { readonly chosen?: string } {
  const wire = parseFields(generateSchema, acted(body ?? {}));
  return { ...fieldsOf(wire), ...(isGiven(wire.key) ? { chosen: wire.key } : {}) };
}

/** `POST /key/update`. @throws GatewayError `client_field_invalid` */
export function parseUpdate(body: unknown): { readonly reference: string; readonly fields: KeyFields } {
  const wire = parseFields(updateSchema, acted(body ?? {}));
  return { reference: wire.key, fields: fieldsOf(wire) };
}

/**
 * `POST /key/regenerate`, and the form with the key in the path.
 *
 * @throws GatewayError `client_field_invalid`
 */
export function parseRegenerate(body: unknown, fromPath: string | undefined): { readonly reference: string; readonly overlap?: string; readonly chosen?: string; readonly fields: KeyFields } {
  const wire = parseFields(regenerateSchema, acted(body ?? {}));
  if (fromPath !== undefined && isGiven(wire.key) && wire.key !== fromPath) throw fieldInvalid("key: the path and the body name different keys.");
  const reference = fromPath ?? wire.key;
  if (!isGiven(reference)) throw fieldInvalid("key: it is needed, the key or its hash.");
  return { reference, fields: fieldsOf(wire), overlap: isGiven(wire.grace_period) ? wire.grace_period : "0s", ...(isGiven(wire.new_key) ? { chosen: wire.new_key } : {}) };
}

/** `POST /key/block` and `/key/unblock`. @throws GatewayError `client_field_invalid` */
export function parseReference(body: unknown): string {
  return parseFields(blockSchema, body ?? {}).key;
}

/** `POST /key/delete`. @throws GatewayError `client_field_invalid`, also when it names no key at all */
export function parseDelete(body: unknown): { readonly keys: readonly string[]; readonly aliases: readonly string[] } {
  const wire = parseFields(deleteSchema, body ?? {});
  const found = { keys: wire.keys ?? [], aliases: wire.key_aliases ?? [] };
  if (found.keys.length + found.aliases.length === 0) throw fieldInvalid("keys: name at least one key, here or in key_aliases.");
  return found;
}

/** The body without fields that are known, empty and not acted on. */
function acted(body: unknown): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const entries = Object.entries(body);
  for (const [field, value] of entries) if (unacted.has(field)) refuseUnlessHarmless(field, value);
  const metadata: unknown = "metadata" in body ? body.metadata : undefined;
  if (typeof metadata === "object" && metadata !== null) {
    for (const [field, value] of Object.entries(metadata)) if (unactedMetadata.includes(field)) refuseUnlessHarmless(`metadata.${field}`, value);
  }
  return Object.fromEntries(entries.filter(([field]) => !unacted.has(field)));
}

function refuseUnlessHarmless(field: string, value: unknown): void {
  const isHarmless = isEmptyValue(value) || (Object.hasOwn(harmless, field) && harmless[field] === value);
  if (!isHarmless) throw fieldInvalid(`${shownName(field)}: it is not enforced by this build, so a value for it is not accepted.`);
}

function isGiven(value: string | null | undefined): value is string {
  return value !== undefined && value !== null && value !== "";
}

function fieldsOf(wire: WireFields): KeyFields {
  return withoutAbsent({
    alias: wire.key_alias,
    userId: wire.user_id,
    teamId: wire.team_id,
    organizationId: wire.organization_id,
    models: wire.models ?? undefined,
    aliases: wire.aliases ?? undefined,
    maxBudgetUsd: wire.max_budget,
    budgetDuration: wire.budget_duration,
    softBudgetUsd: wire.soft_budget,
    budgetLimits: wire.budget_limits ?? undefined,
    modelBudgets: wire.model_max_budget ?? undefined,
    termsId: wire.budget_id,
    runBudgetUsd: wire.run_budget_usd === undefined ? runBudgetInMetadata(wire.metadata) : wire.run_budget_usd,
    duration: wire.duration,
    metadata: wire.metadata ?? undefined,
    restrictions: restrictionsOf(wire),
    tags: wire.tags ?? tagsInMetadata(wire.metadata),
    rpmLimit: wire.rpm_limit,
    tpmLimit: wire.tpm_limit,
    maxParallelRequests: wire.max_parallel_requests,
    isBlocked: wire.blocked ?? undefined,
  });
}

/** LiteLLM keeps limits of models in the metadata, takes them there too, and shows them nowhere else; what it has no word for stands with them. */
const keptInMetadata = z.object({ model_rpm_limit: modelCounts.nullish(), model_tpm_limit: modelCounts.nullish(), allowed_projects: projectNames.nullish() });

function restrictionsOf({ model_rpm_limit, model_tpm_limit, allowed_projects, metadata }: WireFields): KeyFields["restrictions"] {
  if (metadata !== undefined && metadata !== null) parseFields(z.object({ metadata: keptInMetadata }), { metadata });
  const given = withoutAbsent({ model_rpm_limit, model_tpm_limit, allowed_projects });
  return Object.keys(given).length === 0 ? undefined : given;
}

/** LiteLLM has no such field, and some of its clients send none that it does not have. */
function runBudgetInMetadata(metadata: WireFields["metadata"]): string | null | undefined {
  if (metadata?.["run_budget_usd"] === undefined) return undefined;
  return parseFields(z.object({ metadata: z.object({ run_budget_usd: dollars.nullable() }) }), { metadata }).metadata.run_budget_usd;
}

/** LiteLLM keeps tags in the metadata, and its clients write them there. */
function tagsInMetadata(metadata: Readonly<Record<string, unknown>> | null | undefined): readonly string[] | undefined {
  const tags = metadata?.["tags"];
  if (tags === undefined || tags === null) return undefined;
  if (!Array.isArray(tags) || tags.length > listLengthMax || !tags.every((tag): tag is string => name.safeParse(tag).success)) {
    throw fieldInvalid("metadata.tags: it must be a list of texts.");
  }
  return tags;
}
