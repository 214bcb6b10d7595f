// Guarantee: a short-lived token is the same for all callers until half its life, survives a restart, acts as its key and
// never outlives it or the secret it came from.
import { describe, expect, it } from "vitest";
import { createControlPlane, faultOf, type ControlPlane } from "../../test/support/control-plane.ts";
import { sessionSecretsMax, sessionTokenLifeMs } from "./session-token.ts";

const minuteMs = 60_000;

async function tokenOf(plane: ControlPlane, key: string): Promise<{ token: string; expiresAtMs: number }> {
  const { body } = await plane.call("POST /v1/me/token", undefined, key);
  const { token, expires_at } = body as { token: string; expires_at: string };
  return { token, expiresAtMs: Date.parse(expires_at) };
}

describe("a session token", () => {
  it("looks like a key, acts as the same identity and ends after an hour at most", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create({ userId: "ada" });
    const { token, expiresAtMs } = await tokenOf(plane, key);
    expect(token).toMatch(/^sk-[0-9A-Za-z]{43}$/);
    expect(expiresAtMs - plane.clock.now()).toBe(sessionTokenLifeMs);
    expect(plane.whoIs(token)).toMatchObject({ keyId: record.id, userId: "ada", role: "developer" });
    plane.clock.advance(sessionTokenLifeMs - 1);
    expect(plane.whoIs(token)?.keyId).toBe(record.id);
    plane.clock.advance(1);
    expect(plane.whoIs(token)).toBeUndefined();
  });

  it("is the same for all callers of a key until half its life, with one write, and another one after that", async () => {
    const plane = await createControlPlane();
    const { key } = await plane.create();
    const first = await Promise.all([tokenOf(plane, key), tokenOf(plane, key), tokenOf(plane, key)]);
    plane.clock.advance(30 * minuteMs - 1);
    const last = await tokenOf(plane, key);
    expect(new Set([...first, last].map(({ token }) => token)).size).toBe(1);
    expect(plane.store.audit.filter(({ action }) => action === "key.session")).toHaveLength(1);
    expect(last.expiresAtMs - plane.clock.now()).toBeGreaterThan(sessionTokenLifeMs / 2);
    plane.clock.advance(1);
    expect((await tokenOf(plane, key)).token).not.toBe(last.token);
    expect(plane.whoIs(last.token)).toBeDefined();
  });

  it("is another one for each key", async () => {
    const plane = await createControlPlane();
    const [one, two] = [await plane.create(), await plane.create()];
    expect((await tokenOf(plane, one.key)).token).not.toBe((await tokenOf(plane, two.key)).token);
  });

  it("survives a restart, and is still the same afterwards", async () => {
    const plane = await createControlPlane();
    const { key } = await plane.create();
    const before = await tokenOf(plane, key);
    const restarted = await plane.restart();
    expect(restarted.whoIs(before.token)).toBeDefined();
    expect(await tokenOf(restarted, key)).toEqual(before);
    expect(plane.store.audit.filter(({ action }) => action === "key.session")).toHaveLength(1);
  });

  it("may be had for a token, of the same identity", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create();
    const { token } = await tokenOf(plane, key);
    expect((await tokenOf(plane, token)).token).toBe(token);
    plane.clock.advance(45 * minuteMs);
    const next = await tokenOf(plane, token);
    expect(next.token).not.toBe(token);
    expect(plane.whoIs(next.token)?.keyId).toBe(record.id);
    expect((await tokenOf(plane, key)).token).toBe(next.token);
  });

  it("ends with its key: blocked, revoked or expired", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create({ duration: "40m" });
    const { token, expiresAtMs } = await tokenOf(plane, key);
    expect(expiresAtMs).toBe(record.expiresAtMs);
    await plane.keys.setBlocked(record.id, true, { actor: "admin", sourceAddress: "" });
    expect(plane.whoIs(token)).toBeUndefined();
    await plane.keys.setBlocked(record.id, false, { actor: "admin", sourceAddress: "" });
    expect(plane.whoIs(token)).toBeDefined();
    plane.clock.advance(40 * minuteMs);
    expect(plane.whoIs(token)).toBeUndefined();
    const other = await plane.create();
    const second = await tokenOf(plane, other.key);
    await plane.keys.remove([other.record.id], { actor: "admin", sourceAddress: "" });
    expect(plane.whoIs(second.token)).toBeUndefined();
  });

  it("ends with the overlap of a rotation, also when it is renewed meanwhile by the old secret or by an old token", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create();
    const { token } = await tokenOf(plane, key);
    const { key: fresh } = (await plane.call("POST /key/regenerate", { key: record.id, grace_period: "10m" })).body as { key: string };
    const overlapEndMs = plane.clock.now() + 10 * minuteMs;
    plane.clock.advance(5 * minuteMs);
    for (const old of [key, token]) expect((await tokenOf(plane, old)).expiresAtMs).toBe(overlapEndMs);
    const renewed = await tokenOf(plane, token);
    const freshToken = await tokenOf(plane, fresh);
    expect(freshToken.token).not.toBe(renewed.token);
    plane.clock.advance(5 * minuteMs);
    expect([key, token, renewed.token].map((secret) => plane.whoIs(secret))).toEqual([undefined, undefined, undefined]);
    expect([fresh, freshToken.token].map((secret) => plane.whoIs(secret)?.keyId)).toEqual([record.id, record.id]);
  });

  it("leaves a key no more than a few short-lived secrets", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create();
    let current = key;
    for (let round = 0; round < 8; round++) {
      const { token } = await tokenOf(plane, current);
      expect(plane.whoIs(token)?.keyId).toBe(record.id);
      expect(plane.index.secretsOf(record.id).filter(({ kind }) => kind === "session").length).toBeLessThanOrEqual(sessionSecretsMax);
      current = ((await plane.call("POST /key/regenerate", { key: record.id, grace_period: "1h" })).body as { key: string }).key;
      plane.clock.advance(minuteMs);
    }
  });

  it("is not there for the admin key", async () => {
    const plane = await createControlPlane();
    expect((await faultOf(plane.call("POST /v1/me/token"))).code).toBe("client_role_insufficient");
  });

  it("is not given out when the store cannot keep it", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create();
    plane.store.failNext(1);
    expect((await faultOf(plane.call("POST /v1/me/token", undefined, key))).code).toBe("gateway_store_unavailable");
    expect(plane.index.secretsOf(record.id)).toHaveLength(1);
    expect((await tokenOf(plane, key)).token).toBeDefined();
  });
});
