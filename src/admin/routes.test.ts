// Guarantee: the control plane's paths are these, each with the role it needs; what changes something is marked as a change.
import { describe, expect, it } from "vitest";
import { createControlPlane } from "../../test/support/control-plane.ts";

describe("the control plane's rows", () => {
  it("are exactly these", async () => {
    const { routes } = await createControlPlane();
    expect(routes.map(({ method, path, role, audit }) => `${method} ${path} ${role} ${audit}`)).toEqual([
      "POST /key/generate admin change",
      "POST /key/update admin change",
      "POST /key/delete admin change",
      "POST /key/block admin change",
      "POST /key/unblock admin change",
      "POST /key/regenerate admin change",
      "POST /key/{key}/regenerate admin change",
      "GET /key/info developer read",
      "GET /key/list admin read",
      "POST /budget/new admin change",
      "POST /budget/update admin change",
      "POST /budget/delete admin change",
      "POST /budget/info admin read",
      "GET /budget/list admin read",
      "GET /budget/settings admin read",
      "GET /spend/logs admin read",
      "GET /api/v1/usage admin read",
      "GET /api/v1/budgets admin read",
      "POST /api/v1/budgets admin change",
      "POST /api/v1/budgets/delete admin change",
      "GET /api/v1/budgets/definitions admin read",
      "POST /api/v1/reconcile admin change",
      "POST /api/v1/config/reload admin change",
      "GET /api/v1/route developer read",
      "GET /api/v1/circuits admin read",
      "GET /v1/me developer read",
      "POST /v1/me/token developer change",
    ]);
  });

  it("are marked as changes exactly when they are no GET, but for LiteLLM's question that is a POST", async () => {
    const { routes } = await createControlPlane();
    expect(routes.filter(({ method, audit }) => (method === "GET") === (audit === "change")).map(({ path }) => path)).toEqual(["/budget/info"]);
  });

  it("leave nothing changed and nothing in force when the store fails", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create({ alias: "one" });
    const calls: readonly [string, unknown][] = [
      ["POST /key/generate", {}],
      ["POST /key/update", { key, user_id: "bea" }],
      ["POST /key/delete", { keys: [key] }],
      ["POST /key/block", { key }],
      ["POST /key/regenerate", { key }],
    ];
    for (const [request, body] of calls) {
      plane.store.failNext(1);
      await expect(plane.call(request, body)).rejects.toMatchObject({ code: "gateway_store_unavailable" });
      expect(plane.whoIs(key)?.key).toEqual(record);
      expect(plane.keys.list()).toEqual([record]);
    }
  });
});
