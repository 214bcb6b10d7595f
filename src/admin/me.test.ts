// Guarantee: a developer learns who the own key is and what it spent, and nothing of anybody else.
import { describe, expect, it } from "vitest";
import { createControlPlane } from "../../test/support/control-plane.ts";
import { ledgerRow } from "../../test/support/memory-usage-store.ts";
import { nanoUsd } from "../kernel/money.ts";

describe("GET /v1/me", () => {
  it("tells a key's names, owner, models, end and own spend", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create({ alias: "ada-laptop", userId: "ada", teamId: "engines", models: ["claude-*"], duration: "1d" });
    plane.rows.push(ledgerRow({ keyId: record.id, costNanoUsd: nanoUsd(12_345n) }), ledgerRow({ keyId: "key_other" }));
    const { body } = await plane.call("GET /v1/me", undefined, key);
    expect(body).toEqual({
      role: "developer",
      key_id: record.id,
      key_name: record.name,
      key_alias: "ada-laptop",
      user_id: "ada",
      team_id: "engines",
      organization_id: null,
      models: ["claude-*"],
      aliases: {},
      tags: [],
      expires: "2026-01-02T00:00:00.000Z",
      spend_usd: "0.000012345",
      budgets: [],
    });
    expect(JSON.stringify(body)).not.toContain(record.tokenHash);
  });

  it("answers the admin key too", async () => {
    const plane = await createControlPlane();
    expect((await plane.call("GET /v1/me")).body).toMatchObject({ role: "admin", key_id: "admin", key_name: null, expires: null, spend_usd: "0.00" });
  });
});
