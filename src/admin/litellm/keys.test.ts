// Guarantee: LiteLLM's key calls answer in its shapes; what is not acted on is said, not swallowed; a developer sees the own key only.
import { describe, expect, it } from "vitest";
import { controlPlaneAdminKey, createControlPlane, faultOf, type ControlPlane } from "../../../test/support/control-plane.ts";
import { ledgerRow } from "../../../test/support/memory-usage-store.ts";
import { hashText } from "../../identity/virtual-key.ts";
import { nanoUsd } from "../../kernel/money.ts";
import { unactedFields } from "./key-body.ts";

type Body = Record<string, unknown>;

async function call(plane: ControlPlane, request: string, body?: unknown, key?: string): Promise<Body> {
  const reply = await plane.call(request, body, key);
  expect(reply.status).toBe(200);
  return reply.body as Body;
}

async function sentenceOf(promise: Promise<unknown>): Promise<string> {
  const fault = await faultOf(promise);
  expect([fault.code, fault.spec.status]).toEqual(["client_field_invalid", 400]);
  return fault.spec.text;
}

const everyField = {
  key_alias: "ada-laptop",
  user_id: "ada",
  team_id: "engines",
  organization_id: "shipyard",
  models: ["claude-*", "cheap"],
  aliases: { fast: "claude-haiku-4-5" },
  max_budget: 12.5,
  budget_duration: "30d",
  run_budget_usd: 2.25,
  duration: "1mo",
  metadata: { cost_center: "42" },
  tags: ["project:gate"],
  rpm_limit: 60,
  tpm_limit: 100_000,
  max_parallel_requests: 4,
  blocked: false,
};

describe("POST /key/generate", () => {
  it("answers with the key, its hash and the whole row", async () => {
    const plane = await createControlPlane();
    const { duration: _duration, ...fields } = everyField;
    const reply = await call(plane, "POST /key/generate", everyField);
    const key = String(reply["key"]);
    expect(reply).toMatchObject({ ...fields, token: hashText(key), token_id: hashText(key), key_name: `sk-...${key.slice(-4)}`, expires: "2026-02-01T00:00:00.000Z", spend: 0, created_by: "admin", created_at: "2026-01-01T00:00:00.000Z" });
    expect(plane.whoIs(key)?.key?.maxBudgetUsd).toBe("12.5");
  });

  it("takes no body, nulls and empty values of fields it does not act on", async () => {
    const plane = await createControlPlane();
    const nulls = Object.fromEntries([...Object.keys(everyField), ...unactedFields].map((field) => [field, null]));
    const empty = { guardrails: [], permissions: {}, organization_id: "", auto_rotate: false, spend: 0, key_type: "default", config: {} };
    for (const body of [undefined, {}, nulls, empty]) {
      const reply = await call(plane, "POST /key/generate", body);
      expect(reply).toMatchObject({ models: [], expires: null, max_budget: null, key_alias: null, blocked: false });
    }
  });

  it("takes tags from the metadata, where LiteLLM's clients put them", async () => {
    const plane = await createControlPlane();
    expect(await call(plane, "POST /key/generate", { metadata: { tags: ["a", "b"], x: 1 } })).toMatchObject({ tags: ["a", "b"], metadata: { tags: ["a", "b"], x: 1 } });
    expect(await sentenceOf(plane.call("POST /key/generate", { metadata: { tags: "a" } }))).toContain("metadata.tags");
  });

  it("takes a run's budget from the metadata too, and leaves it as it was where it is not named", async () => {
    const plane = await createControlPlane();
    const { key } = await call(plane, "POST /key/generate", { metadata: { run_budget_usd: "0.75" } });
    expect(plane.whoIs(String(key))?.key?.runBudgetUsd).toBe("0.75");
    expect(await call(plane, "POST /key/update", { key, metadata: { x: 1 } })).toMatchObject({ run_budget_usd: 0.75 });
    expect(await call(plane, "POST /key/update", { key, run_budget_usd: null })).toMatchObject({ run_budget_usd: null });
    expect(await sentenceOf(plane.call("POST /key/generate", { metadata: { run_budget_usd: -1 } }))).toContain("metadata.run_budget_usd");
  });

  it("takes a budget exactly as written", async () => {
    const plane = await createControlPlane();
    for (const [written, kept] of [[0.1, "0.1"], ["0.123456789", "0.123456789"], [1e-7, "1e-7"], [0, "0"]] as const) {
      const reply = await call(plane, "POST /key/generate", { max_budget: written });
      expect(plane.keys.find(String(reply["token"]))?.maxBudgetUsd).toBe(kept);
    }
  });

  it.each(unactedFields)("refuses a value for %s, naming it", async (field) => {
    const plane = await createControlPlane();
    expect(await sentenceOf(plane.call("POST /key/generate", { [field]: ["x"] }))).toMatch(new RegExp(`^${field}: it is not enforced by this build`));
    expect(plane.keys.list()).toEqual([]);
  });

  it.each<[string, unknown, string]>([
    ["a wholly unknown field", { modles: ["x"] }, "modles: there is no such field"],
    ["a hidden restriction in the metadata", { metadata: { guardrails: ["pii"] } }, "metadata.guardrails"],
    ["a model's limit that is no number", { metadata: { model_rpm_limit: { claude: "1" } } }, "metadata.model_rpm_limit.claude"],
    ["a model's limit below 0", { model_tpm_limit: { claude: -1 } }, "model_tpm_limit.claude"],
    ["models that are no list", { models: "claude-*" }, "models"],
    ["an empty model name", { models: [""] }, "models.0"],
    ["aliases that are no names", { aliases: { a: 1 } }, "aliases.a"],
    ["a negative budget", { max_budget: -1 }, "max_budget"],
    ["a budget that is no number", { max_budget: "a lot" }, "max_budget"],
    ["a budget beyond the ledger", { max_budget: "1e12" }, "max_budget"],
    ["a duration that is none", { duration: "soon" }, "duration"],
    ["an empty duration", { duration: "0s" }, "duration"],
    ["a budget duration that is none", { budget_duration: "soon" }, "budget_duration"],
    ["a model's cap without an amount", { model_max_budget: { claude: { budget_duration: "1d" } } }, "model_max_budget.claude: max_budget is needed"],
    ["a model's cap with a span that is none", { model_max_budget: { claude: { max_budget: 1, time_period: "soon" } } }, 'model_max_budget["claude"].budget_duration'],
    ["a model's cap with a field that is not there", { model_max_budget: { claude: { max_budget: 1, tpm_limit: 5 } } }, "model_max_budget.claude"],
    ["caps that are no list", { budget_limits: { max_budget: 1 } }, "budget_limits: it must be a list"],
    ["a window's cap with a span that is none", { budget_limits: [{ max_budget: 1, budget_duration: "soon" }] }, "budget_limits[0].budget_duration"],
    ["two caps of one span", { budget_limits: [{ max_budget: 1, budget_duration: "1d" }, { max_budget: 2, budget_duration: "1d" }] }, "budget_limits: two entries have the same span"],
    ["a fractional limit", { rpm_limit: 1.5 }, "rpm_limit"],
    ["a negative limit", { tpm_limit: -1 }, "tpm_limit"],
    ["a limit in words", { max_parallel_requests: "4" }, "max_parallel_requests"],
    ["a switch that is none", { blocked: "yes" }, "blocked"],
    ["metadata that is too large", { metadata: { text: "x".repeat(20_000) } }, "metadata"],
    ["a chosen key that is too short", { key: "sk-1234" }, "key"],
    ["a body that is a list", [], "the body"],
    ["a body that is a text", "x", "the body"],
  ])("refuses %s", async (_, body, named) => {
    const plane = await createControlPlane();
    expect(await sentenceOf(plane.call("POST /key/generate", body))).toContain(named);
    expect(plane.keys.list()).toEqual([]);
  });

  it("names all faults at once, and repeats no value", async () => {
    const plane = await createControlPlane();
    const sentence = await sentenceOf(plane.call("POST /key/generate", { key: 7, models: "sk-canary", rpm_limit: "sk-canary", [`odd "${"n".repeat(200)}`]: 1 }));
    for (const part of ["key:", "models:", "rpm_limit:", "there is no such field"]) expect(sentence).toContain(part);
    expect(sentence).not.toContain("canary");
    expect(sentence.length).toBeLessThan(400);
  });

  it("answers 409 for a taken alias or key", async () => {
    const plane = await createControlPlane();
    const chosen = "sk-0123456789abcdefghijklmn";
    await call(plane, "POST /key/generate", { key_alias: "one", key: chosen });
    for (const body of [{ key_alias: "one" }, { key: chosen }, { key: controlPlaneAdminKey }]) expect((await faultOf(plane.call("POST /key/generate", body))).spec.status).toBe(409);
  });
});

describe("POST /key/update", () => {
  it("changes what is there, clears single values by null, and leaves lists alone then", async () => {
    const plane = await createControlPlane();
    const { key, token } = await call(plane, "POST /key/generate", everyField);
    const reply = await call(plane, "POST /key/update", { key, user_id: null, models: null, aliases: null, blocked: null, duration: null, max_budget: null, tags: ["x"] });
    expect(reply).toMatchObject({ key, token, user_id: null, models: everyField.models, aliases: everyField.aliases, blocked: false, expires: null, max_budget: null, tags: ["x"], key_alias: "ada-laptop" });
    expect(await call(plane, "POST /key/update", { key: token, models: [] })).toMatchObject({ models: [] });
  });

  it("answers 404 for an unknown key, 400 without one or with a wrong field, 409 for a taken alias", async () => {
    const plane = await createControlPlane();
    const { key } = await call(plane, "POST /key/generate", { key_alias: "one" });
    await call(plane, "POST /key/generate", { key_alias: "two" });
    expect((await faultOf(plane.call("POST /key/update", { key: "sk-unknown", tags: [] }))).spec.status).toBe(404);
    expect(await sentenceOf(plane.call("POST /key/update", { tags: [] }))).toContain("key");
    expect(await sentenceOf(plane.call("POST /key/update", { key, guardrails: ["x"] }))).toContain("guardrails");
    expect((await faultOf(plane.call("POST /key/update", { key, key_alias: "two" }))).spec.status).toBe(409);
  });
});

describe("POST /key/delete", () => {
  it("ends keys by key, hash and alias, and names them as they were given", async () => {
    const plane = await createControlPlane();
    const [one, two, three] = [await call(plane, "POST /key/generate", {}), await call(plane, "POST /key/generate", {}), await call(plane, "POST /key/generate", { key_alias: "third" })];
    expect(await call(plane, "POST /key/delete", { keys: [one["key"], two["token"]], key_aliases: ["third"] })).toEqual({ deleted_keys: [one["key"], two["token"], "third"] });
    expect([one, two, three].map(({ key }) => plane.whoIs(String(key)))).toEqual([undefined, undefined, undefined]);
  });

  it("answers 400 for no key, 404 for an unknown one, and deletes nothing then", async () => {
    const plane = await createControlPlane();
    const { key } = await call(plane, "POST /key/generate", {});
    for (const body of [undefined, {}, { keys: [] }, { keys: "sk-x" }, { key }]) await sentenceOf(plane.call("POST /key/delete", body));
    for (const body of [{ keys: [key, "sk-unknown"] }, { keys: [key], key_aliases: ["unknown"] }]) expect((await faultOf(plane.call("POST /key/delete", body))).spec.status).toBe(404);
    expect(plane.whoIs(String(key))).toBeDefined();
  });
});

describe("POST /key/block and /key/unblock", () => {
  it("refuse and accept a key from the next request on", async () => {
    const plane = await createControlPlane();
    const { key } = await call(plane, "POST /key/generate", {});
    expect(await call(plane, "POST /key/block", { key })).toMatchObject({ blocked: true });
    expect(plane.whoIs(String(key))).toBeUndefined();
    expect(await call(plane, "POST /key/unblock", { key })).toMatchObject({ blocked: false });
    expect(plane.whoIs(String(key))).toBeDefined();
  });

  it("answer 400 without a key and 404 for an unknown one", async () => {
    const plane = await createControlPlane();
    for (const path of ["POST /key/block", "POST /key/unblock"]) {
      await sentenceOf(plane.call(path, {}));
      await sentenceOf(plane.call(path, { key: "sk-x", reason: "y" }));
      expect((await faultOf(plane.call(path, { key: "sk-unknown" }))).spec.status).toBe(404);
    }
  });
});

describe("POST /key/regenerate", () => {
  it("gives a new key of the same identity, by body and by path, with the grace period that is asked for", async () => {
    const plane = await createControlPlane();
    const first = await call(plane, "POST /key/generate", { key_alias: "one" });
    const second = await call(plane, "POST /key/regenerate", { key: first["key"], grace_period: "1h" });
    expect(second).toMatchObject({ key_alias: "one", token: hashText(String(second["key"])), created_at: first["created_at"] });
    plane.clock.advance(30 * 60_000);
    expect(plane.whoIs(String(first["key"]))).toBeDefined();
    const third = await call(plane, `POST /key/${String(second["token"])}/regenerate`, { grace_period: "0s", new_key: "sk-0123456789abcdefghijklmn", duration: "1d" });
    expect(third).toMatchObject({ key: "sk-0123456789abcdefghijklmn", expires: "2026-01-02T00:30:00.000Z" });
    expect([first, second, third].map(({ key }) => plane.whoIs(String(key)) !== undefined)).toEqual([false, false, true]);
  });

  it("ends the old key at once unless a grace period is asked for: mostly it is regenerated because it leaked", async () => {
    const plane = await createControlPlane();
    const { key } = await call(plane, "POST /key/generate", {});
    const fresh = await call(plane, "POST /key/regenerate", { key });
    expect([key, fresh["key"]].map((each) => plane.whoIs(String(each)) !== undefined)).toEqual([false, true]);
  });

  it("answers 400, 404 and 409 where it must", async () => {
    const plane = await createControlPlane();
    const { key } = await call(plane, "POST /key/generate", {});
    for (const body of [undefined, {}, { key, grace_period: "soon" }, { key, new_key: "x" }, { key, new_master_key: "sk-x" }]) await sentenceOf(plane.call("POST /key/regenerate", body));
    await sentenceOf(plane.call("POST /key/sk-other/regenerate", { key }));
    expect((await faultOf(plane.call("POST /key/sk-unknown/regenerate", {}))).spec.status).toBe(404);
    expect((await faultOf(plane.call("POST /key/regenerate", { key, new_key: controlPlaneAdminKey }))).spec.status).toBe(409);
  });
});

describe("GET /key/info", () => {
  it("shows an admin any key, with its spend, without its secret", async () => {
    const plane = await createControlPlane();
    const { key, token } = await call(plane, "POST /key/generate", everyField);
    plane.rows.push(ledgerRow({ keyId: plane.keys.list()[0]!.id, costNanoUsd: nanoUsd(250_000_001n) }));
    const reply = await call(plane, `GET /key/info?key=${String(token)}`);
    expect(reply).toMatchObject({ key: token, info: { token, spend: 0.250000001, key_alias: "ada-laptop", expires: "2026-02-01T00:00:00.000Z" } });
    expect(JSON.stringify(reply)).not.toContain(String(key));
  });

  it("shows a developer the own key, asked for or not, also to a token of it", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create();
    const { token } = await call(plane, "POST /v1/me/token", undefined, key);
    for (const caller of [key, String(token)]) {
      expect(await call(plane, "GET /key/info", undefined, caller)).toMatchObject({ key: record.tokenHash, info: { token: record.tokenHash } });
      expect(await call(plane, `GET /key/info?key=${key}`, undefined, caller)).toMatchObject({ key });
    }
  });

  it("answers a developer the same for another's key and for none", async () => {
    const plane = await createControlPlane();
    const [mine, other] = [await plane.create(), await plane.create()];
    for (const reference of [other.key, other.record.tokenHash, other.record.id, "sk-unknown", controlPlaneAdminKey]) {
      const fault = await faultOf(plane.call(`GET /key/info?key=${reference}`, undefined, mine.key));
      expect([fault.code, fault.spec.status, fault.spec.text]).toEqual(["client_object_missing", 404, "There is no such object, or you may not see it."]);
    }
  });

  it("answers an admin 400 without a key, or with a parameter that is not there or stands twice", async () => {
    const plane = await createControlPlane();
    const { key } = await plane.create();
    for (const query of ["", "?key=", "?keys=x", `?key=${key}&key=${key}`]) await sentenceOf(plane.call(`GET /key/info${query}`));
    expect((await faultOf(plane.call("GET /key/info?key=sk-unknown"))).spec.status).toBe(404);
  });
});

describe("GET /key/list", () => {
  it("pages through all keys, newest first, as hashes or as full objects", async () => {
    const plane = await createControlPlane();
    const hashes: string[] = [];
    for (let index = 0; index < 12; index++) hashes.unshift((await plane.create()).record.tokenHash);
    expect(await call(plane, "GET /key/list")).toEqual({ keys: hashes.slice(0, 10), total_count: 12, current_page: 1, total_pages: 2 });
    expect(await call(plane, "GET /key/list?page=3&size=5")).toEqual({ keys: hashes.slice(10), total_count: 12, current_page: 3, total_pages: 3 });
    expect(await call(plane, "GET /key/list?page=9")).toMatchObject({ keys: [], total_count: 12 });
    expect(await call(plane, "GET /key/list?size=1&return_full_object=true")).toMatchObject({ keys: [{ token: hashes[0], spend: 0 }] });
  });

  it("filters and sorts, keys without the value last", async () => {
    const plane = await createControlPlane();
    for (const [alias, userId] of [["b", "ada"], [null, "ada"], ["a", "bea"], ["c", "ada"]] as const) await plane.create({ alias, userId, teamId: "engines" });
    const aliases = async (query: string): Promise<unknown[]> => ((await call(plane, `GET /key/list?return_full_object=true&${query}`))["keys"] as Body[]).map((key) => key["key_alias"]);
    expect(await aliases("sort_by=key_alias&sort_order=asc")).toEqual(["a", "b", "c", null]);
    expect(await aliases("sort_by=key_alias&sort_order=desc")).toEqual(["c", "b", "a", null]);
    expect(await aliases("user_id=ada&team_id=engines")).toEqual(["c", null, "b"]);
    expect(await aliases("key_alias=a&organization_id=")).toEqual(["a"]);
    expect(await aliases("organization_id=shipyard")).toEqual([]);
    expect(await aliases("user_id=nobody")).toEqual([]);
  });

  it.each(["page=0", "page=x", "size=101", "sort_by=spend", "sort_order=up", "status=deleted", "return_full_object=1", "user_id=ada&include_team_keys=true"])("refuses ?%s", async (query) => {
    await sentenceOf((await createControlPlane()).call(`GET /key/list?${query}`));
  });
});
