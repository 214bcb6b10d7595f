// Guarantee: LiteLLM's budget calls answer in its shapes; what is not acted on is said, not swallowed; no key loses its cap by the end of a budget.
import { describe, expect, it } from "vitest";
import { createControlPlane, faultOf, type ControlPlane } from "../../../test/support/control-plane.ts";
import { unactedBudgetFields } from "./budgets.ts";

type Body = Record<string, unknown>;

async function call<Reply = Body>(plane: ControlPlane, request: string, body?: unknown): Promise<Reply> {
  const reply = await plane.call(request, body);
  expect(reply.status).toBe(200);
  return reply.body as Reply;
}
const everyField = { budget_id: "gold", max_budget: 12.5, soft_budget: 10, max_parallel_requests: 4, tpm_limit: 100_000, rpm_limit: 60, budget_duration: "30d", model_max_budget: { "claude-opus-5-5": { max_budget: 4, budget_duration: "1d" } } };
const marks = { created_at: "2026-01-01T00:00:00.000Z", created_by: "admin", updated_at: "2026-01-01T00:00:00.000Z", updated_by: "admin" };

describe("/budget/new and /budget/update", () => {
  it("answer with the row, whose reset follows from the duration", async () => {
    const plane = await createControlPlane();
    expect(await call(plane, "POST /budget/new", everyField)).toEqual({ ...everyField, budget_reset_at: "2026-02-01T00:00:00.000Z", ...marks });
    plane.clock.advance(1_000);
    const changed = await call(plane, "POST /budget/update", { budget_id: "gold", max_budget: 20, rpm_limit: null });
    expect(changed).toEqual({ ...everyField, max_budget: 20, rpm_limit: null, budget_reset_at: "2026-02-01T00:00:00.000Z", ...marks, updated_at: "2026-01-01T00:00:01.000Z" });
    expect(await call(plane, "POST /budget/update", { budget_id: "gold", budget_duration: null })).toMatchObject({ budget_duration: null, budget_reset_at: null });
  });

  it("make an id where there is none, and take nulls and empty values of what they do not act on", async () => {
    const plane = await createControlPlane();
    const unused = Object.fromEntries(unactedBudgetFields.map((field) => [field, null]));
    const made = await call(plane, "POST /budget/new", { ...unused, budget_id: null, max_budget: null, budget_reset_at: null });
    expect(made).toMatchObject({ budget_id: expect.stringMatching(/^bud_/), max_budget: null, soft_budget: null });
    expect(await call(plane, "POST /budget/new")).not.toMatchObject({ budget_id: made["budget_id"] });
  });

  it("take back the reset that they have told, and no other", async () => {
    const plane = await createControlPlane();
    const row = await call(plane, "POST /budget/new", everyField);
    const again = { budget_id: "gold", budget_duration: "30d", budget_reset_at: row["budget_reset_at"] };
    expect(await call(plane, "POST /budget/update", again)).toMatchObject({ budget_reset_at: row["budget_reset_at"] });
    const fault = await faultOf(plane.call("POST /budget/update", { ...again, budget_reset_at: "2027-01-01T00:00:00Z" }));
    expect(fault.spec.text).toBe("budget_reset_at: it follows from budget_duration, and is 2026-02-01T00:00:00.000Z; leave it out.");
  });

  it.each<[string, string, unknown, number, RegExp]>([
    ["an id that is taken", "new", { budget_id: "gold" }, 409, /already/],
    ["a negative cap", "new", { max_budget: -7 }, 400, /^max_budget: .*at least 0/],
    ["a negative soft cap", "update", { budget_id: "gold", soft_budget: -1 }, 400, /^soft_budget: /],
    ["a duration that is none", "new", { budget_duration: "0s" }, 400, /^budget_duration: /],
    ["a duration that is none, later", "update", { budget_id: "gold", budget_duration: "3 moons" }, 400, /^budget_duration: .*moons/],
    ["a model's cap without an amount", "new", { model_max_budget: { claude: {} } }, 400, /^model_max_budget.claude: max_budget is needed/],
    ["a model's cap with a span that is none", "update", { budget_id: "gold", model_max_budget: { claude: { max_budget: 1, budget_duration: "soon" } } }, 400, /^model_max_budget\["claude"\]\.budget_duration: /],
    ["a limit that is none", "update", { budget_id: "gold", rpm_limit: 1.5 }, 400, /^rpm_limit: /],
    ["an unknown field", "new", { amount: 1 }, 400, /^amount: there is no such field/],
    ["no object", "new", [1], 400, /JSON object/],
    ["a change without an id", "update", { max_budget: 1 }, 400, /^budget_id: it is needed/],
    ["a change of what is not there", "update", { budget_id: "silver" }, 404, /no such budget/],
    ["an end of what is not there", "delete", { id: "silver" }, 404, /no such budget/],
    ["a look at none", "info", { budgets: [] }, 400, /^budgets: name at least one/],
  ])("refuse %s", async (_what, action, body, status, words) => {
    const plane = await createControlPlane();
    await call(plane, "POST /budget/new", everyField);
    const fault = await faultOf(plane.call(`POST /budget/${action}`, body));
    expect([fault.spec.status, fault.spec.text]).toEqual([status, expect.stringMatching(words)]);
    expect(await call(plane, "GET /budget/list")).toEqual([expect.objectContaining(everyField)]);
  });
});

describe("/budget/info, /budget/list and /budget/settings", () => {
  it("show rows, those that are there", async () => {
    const plane = await createControlPlane();
    for (const budget_id of ["silver", "gold", "iron"]) await call(plane, "POST /budget/new", { budget_id });
    const ids = (rows: readonly Body[]): readonly unknown[] => rows.map((row) => row["budget_id"]);
    expect(ids(await call<Body[]>(plane, "GET /budget/list"))).toEqual(["gold", "iron", "silver"]);
    expect(ids(await call<Body[]>(plane, "POST /budget/info", { budgets: ["silver", "gold", "none"] }))).toEqual(["gold", "silver"]);
  });

  it("show what can be set, with its value, also of a budget that there is not", async () => {
    const plane = await createControlPlane();
    await call(plane, "POST /budget/new", everyField);
    const valuesOf = async (id: string): Promise<Body> => Object.fromEntries((await call<Body[]>(plane, `GET /budget/settings?budget_id=${id}`)).map((row) => [row["field_name"], row["field_value"]]));
    // LiteLLM's page has no field for caps of models.
    const { budget_id: _id, model_max_budget: _caps, ...values } = everyField;
    expect(await valuesOf("gold")).toEqual(values);
    expect(new Set(Object.values(await valuesOf("silver")))).toEqual(new Set([null]));
    expect(await call<Body[]>(plane, "GET /budget/settings?budget_id=gold")).toContainEqual({ field_name: "rpm_limit", field_type: "Integer", field_description: "Requests a minute, of each key.", field_value: 60, stored_in_db: true, field_default_value: null });
  });
});

describe("a key with a budget", () => {
  it("has from it what it does not set itself, and shows both", async () => {
    const plane = await createControlPlane();
    await call(plane, "POST /budget/new", everyField);
    const made = await call(plane, "POST /key/generate", { budget_id: "gold", rpm_limit: 5 });
    expect(made).toMatchObject({ budget_id: "gold", rpm_limit: 5, max_budget: null, soft_budget: null, litellm_budget_table: everyField });
    expect(plane.whoIs(String(made["key"]))?.key).toMatchObject({ rpmLimit: 5, tpmLimit: 100_000, maxBudgetUsd: "12.5", softBudgetUsd: "10", budgetDuration: "30d", maxParallelRequests: 4 });
    await call(plane, "POST /key/update", { key: made["key"], soft_budget: "3.5", budget_id: null });
    const { info } = await call<{ info: Body }>(plane, `GET /key/info?key=${String(made["key"])}`);
    expect(info).toMatchObject({ budget_id: null, soft_budget: 3.5, litellm_budget_table: null, rpm_limit: 5, tpm_limit: null });
  });

  it("must name one that there is, and keeps it from ending, under rotation too", async () => {
    const plane = await createControlPlane();
    const fault = await faultOf(plane.call("POST /key/generate", { budget_id: "gold" }));
    expect([fault.code, fault.spec.text]).toEqual(["client_field_invalid", "budget_id: there is no such budget."]);
    expect(plane.keys.list()).toEqual([]);
    await call(plane, "POST /budget/new", everyField);
    const first = await call(plane, "POST /key/generate", { budget_id: "gold" });
    const second = await call(plane, "POST /key/regenerate", { key: first["key"] });
    expect(plane.whoIs(String(second["key"]))?.key?.rpmLimit).toBe(60);
    const refusal = await faultOf(plane.call("POST /budget/delete", { id: "gold" }));
    expect([refusal.spec.status, refusal.spec.text]).toEqual([409, "This budget is in use by one key: give each another one first, or none with `budget_id: null`."]);
    await call(plane, "POST /key/delete", { keys: [second["key"]] });
    expect(await call(plane, "POST /budget/delete", { id: "gold" })).toMatchObject(everyField);
    expect(await call(plane, "GET /budget/list")).toEqual([]);
  });

  it("cannot be made while its budget ends, whichever is asked for first", async () => {
    for (const isKeyFirst of [true, false]) {
      const plane = await createControlPlane();
      await call(plane, "POST /budget/new", everyField);
      const asks = [(): Promise<unknown> => plane.call("POST /key/generate", { budget_id: "gold" }), (): Promise<unknown> => plane.call("POST /budget/delete", { id: "gold" })];
      const outcomes = await Promise.allSettled((isKeyFirst ? asks : asks.toReversed()).map((ask) => ask()));
      expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
      expect(plane.keys.list()).toHaveLength(isKeyFirst ? 1 : 0);
    }
  });
});
