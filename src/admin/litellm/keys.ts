/** LiteLLM's `/key/*` calls over the key service: same paths, same shapes, so that its scripts and clients go on working. */
import { z } from "zod";
import type { KeyRecord } from "../../identity/key-store.ts";
import type { KeyTermsBook } from "../../identity/key-terms.ts";
import { showOnce } from "../../identity/virtual-key.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import { nanoUsd } from "../../kernel/money.ts";
import type { BalanceState, Ledger } from "../../ledger/ledger.ts";
import type { Spender } from "../../ledger/scope.ts";
import { fieldInvalid, parseFields, queryObject } from "../fields.ts";
import type { AdminCall, AdminHandler, AdminReply } from "../handler.ts";
import type { Author, KeyService, ShownKey } from "../keys.ts";
import { parseDelete, parseGenerate, parseReference, parseRegenerate, parseUpdate } from "./key-body.ts";
import { litellmKeyRow, type KeyStanding } from "./key-row.ts";

const pageSizeDefault = 10;
const pageSizeMax = 100;

/** The handlers of `/key/*`, by what they do. */
export interface LitellmKeyHandlers {
  readonly generate: AdminHandler;
  readonly update: AdminHandler;
  readonly remove: AdminHandler;
  readonly block: AdminHandler;
  readonly unblock: AdminHandler;
  readonly regenerate: AdminHandler;
  readonly info: AdminHandler;
  readonly list: AdminHandler;
}

/** All but `info` are for admins; the route table sees to that. */
export function createLitellmKeyHandlers(keys: KeyService, ledger: Pick<Ledger, "balancesOf">, terms: Pick<KeyTermsBook, "get">): LitellmKeyHandlers {
  const standing: StandingOf = (record, nowMs) => ({ budget: ownBudget(ledger, record, nowMs), terms: record.termsId === null ? undefined : terms.get(record.termsId), nowMs });
  const row = async (record: KeyRecord, nowMs: number): Promise<Record<string, unknown>> => litellmKeyRow(record, (await keys.spend([record.id]))(record.id), standing(record, nowMs));
  const setBlocked =
    (isBlocked: boolean): AdminHandler =>
    async (call) =>
      ok(await row(await keys.setBlocked(parseReference(call.body), isBlocked, authorOf(call)), call.nowMs));

  return {
    async generate(call) {
      const shown = await keys.create(parseGenerate(call.body), authorOf(call));
      return ok(withSecret(litellmKeyRow(shown.record, nanoUsd(0n), standing(shown.record, call.nowMs)), shown));
    },
    async update(call) {
      const { reference, fields } = parseUpdate(call.body);
      return ok({ key: reference, ...(await row(await keys.update(reference, fields, authorOf(call)), call.nowMs)) });
    },
    async remove(call) {
      const named = parseDelete(call.body);
      const byAlias = named.aliases.map((alias) => {
        const record = keys.list().find((key) => key.alias === alias);
        if (record === undefined) throw new GatewayError("client_object_missing", { publicText: "There is no such key." });
        return record.id;
      });
      await keys.remove([...named.keys, ...byAlias], authorOf(call));
      return ok({ deleted_keys: [...named.keys, ...named.aliases] });
    },
    block: setBlocked(true),
    unblock: setBlocked(false),
    async regenerate(call) {
      const { reference, ...options } = parseRegenerate(call.body, call.params["key"]);
      const shown = await keys.rotate(reference, options, authorOf(call));
      return ok(withSecret(await row(shown.record, call.nowMs), shown));
    },
    async info(call) {
      const { key: reference } = parseFields(infoSchema, queryObject(call.query));
      const record = keyInSight(keys, call, reference);
      return ok({ key: reference ?? record.tokenHash, info: await row(record, call.nowMs) });
    },
    list: (call) => listKeys(keys, standing, call),
  };
}

type StandingOf = (record: KeyRecord, nowMs: number) => KeyStanding;

/** What the key's own budget has used in its present window; undefined where it has none. */
function ownBudget(ledger: Pick<Ledger, "balancesOf">, { id }: KeyRecord, nowMs: number): BalanceState | undefined {
  const spender: Spender = { keyId: id, userId: null, teamId: null, organizationId: null, endUserId: null, project: null, tags: [], sessionId: null, model: "", provider: "", targetId: "" };
  return ledger.balancesOf(spender, nowMs).find(({ budget, scope }) => scope === `key:${id}` && budget.id === `key ${id}`);
}

const infoSchema = z.strictObject({ key: z.string().min(1, "it must not be empty").optional() });

/** A developer sees the own key only, and learns nothing about others: theirs and none are the same answer. */
function keyInSight(keys: KeyService, { principal }: AdminCall, reference: string | undefined): KeyRecord {
  if (reference === undefined && principal.key === undefined) throw fieldInvalid("key: it is needed, since the admin key is not listed.");
  const found = reference === undefined ? keys.find(principal.keyId) : keys.find(reference);
  if (found === undefined || (principal.role !== "admin" && found.id !== principal.keyId)) throw new GatewayError("client_object_missing");
  return found;
}

const wholeNumber = z.string().regex(/^[1-9]\d{0,8}$/, "it must be a whole number of at least 1").transform(Number);
const flag = z.enum(["true", "false", "True", "False"], "it must be true or false").transform((text) => text.toLowerCase() === "true");
const sortable = ["created_at", "updated_at", "key_alias", "user_id", "team_id", "expires"] as const;

const listSchema = z.strictObject({
  page: wholeNumber.optional(),
  size: wholeNumber.optional(),
  user_id: z.string().optional(),
  team_id: z.string().optional(),
  organization_id: z.string().optional(),
  key_hash: z.string().optional(),
  key_alias: z.string().optional(),
  return_full_object: flag.optional(),
  sort_by: z.enum(sortable, `it must be one of ${sortable.join(", ")}`).optional(),
  sort_order: z.enum(["asc", "desc"], "it must be asc or desc").optional(),
  // They only add to what a caller who is no admin sees, and an admin sees everything.
  include_team_keys: flag.optional(),
  include_created_by_keys: flag.optional(),
});

async function listKeys(keys: KeyService, standing: StandingOf, call: AdminCall): Promise<AdminReply> {
  // LiteLLM's clients send fields they do not use as empty.
  const given = Object.fromEntries(Object.entries(queryObject(call.query)).filter(([, value]) => value !== ""));
  const { page = 1, size = pageSizeDefault, sort_by = "created_at", sort_order = "desc", return_full_object, ...filter } = parseFields(listSchema, given);
  if (size > pageSizeMax) throw fieldInvalid(`size: it must be at most ${pageSizeMax}.`);
  const isWidened = filter.include_team_keys === true || filter.include_created_by_keys === true;
  if (isWidened && filter.user_id !== undefined) throw fieldInvalid("user_id: together with include_team_keys or include_created_by_keys it is not offered by this build.");
  const found = keys
    .list()
    .filter((key) => isEqual(filter.user_id, key.userId) && isEqual(filter.team_id, key.teamId) && isEqual(filter.organization_id, key.organizationId) && isEqual(filter.key_hash, key.tokenHash) && isEqual(filter.key_alias, key.alias))
    .sort(comparison(sort_by, sort_order));
  const shown = found.slice((page - 1) * size, page * size);
  const spend = await keys.spend(return_full_object === true ? shown.map(({ id }) => id) : []);
  return ok({
    keys: shown.map((key) => (return_full_object === true ? litellmKeyRow(key, spend(key.id), standing(key, call.nowMs)) : key.tokenHash)),
    total_count: found.length,
    current_page: page,
    total_pages: Math.ceil(found.length / size),
  });
}

function isEqual(wanted: string | undefined, value: string | null): boolean {
  return wanted === undefined || wanted === value;
}

function comparison(by: (typeof sortable)[number], order: "asc" | "desc"): (a: KeyRecord, b: KeyRecord) => number {
  const valueOf: Readonly<Record<typeof by, (key: KeyRecord) => string | number | null>> = {
    created_at: (key) => key.createdAtMs,
    updated_at: (key) => key.updatedAtMs,
    key_alias: (key) => key.alias,
    user_id: (key) => key.userId,
    team_id: (key) => key.teamId,
    expires: (key) => key.expiresAtMs,
  };
  const sign = order === "asc" ? 1 : -1;
  return (a, b) => {
    const left = valueOf[by](a);
    const right = valueOf[by](b);
    // Keys without the value come last in both directions; ids settle ties, so that pages never overlap.
    if (left === null || right === null) return Number(left === null) - Number(right === null) || sign * (a.id < b.id ? -1 : 1);
    if (left !== right) return sign * (left < right ? -1 : 1);
    return sign * (a.id < b.id ? -1 : 1);
  };
}

function withSecret(row: Record<string, unknown>, { key, record }: ShownKey): Record<string, unknown> {
  return { key: showOnce(key), token_id: record.tokenHash, ...row };
}

function authorOf({ principal, sourceAddress }: AdminCall): Author {
  return { actor: principal.keyId, sourceAddress };
}

function ok(body: unknown): AdminReply {
  return { status: 200, body };
}
