// Guarantee: a change of a key is durable with its audit record before it is answered, in force from the next request on,
// and never half there.
import { describe, expect, it } from "vitest";
import { controlPlaneAdminKey, createControlPlane, faultOf } from "../../test/support/control-plane.ts";
import { hashText, showOnce } from "../identity/virtual-key.ts";
import { previousSecretsMax } from "./keys.ts";

const author = { actor: "admin", sourceAddress: "192.0.2.7" };
const minuteMs = 60_000;

describe("create", () => {
  it("makes a key that works from now on and after a restart, with its audit record", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.keys.create({ alias: "ada-laptop", userId: "ada", models: ["claude-*"], duration: "30d" }, author);
    expect(plane.whoIs(showOnce(key))?.keyId).toBe(record.id);
    expect((await plane.restart()).whoIs(showOnce(key))?.key).toEqual(record);
    expect(record).toMatchObject({ tokenHash: hashText(showOnce(key)), name: `sk-...${showOnce(key).slice(-4)}`, alias: "ada-laptop", expiresAtMs: plane.clock.now() + 30 * 86_400_000, createdBy: "admin" });
    expect(plane.store.audit).toMatchObject([{ action: "key.create", actor: "admin", object: record.id, sourceAddress: "192.0.2.7", details: { after: { alias: "ada-laptop", models: ["claude-*"] } } }]);
  });

  it("takes a chosen key, but none that is taken, by the admin key either", async () => {
    const plane = await createControlPlane();
    const chosen = "sk-team-key-0123456789abcdef";
    await plane.keys.create({ chosen }, author);
    expect(plane.whoIs(chosen)).toBeDefined();
    for (const taken of [chosen, controlPlaneAdminKey]) expect((await faultOf(plane.keys.create({ chosen: taken }, author))).code).toBe("client_object_conflict");
    expect((await faultOf(plane.keys.create({ chosen: "sk-short" }, author))).code).toBe("client_field_invalid");
    expect(plane.keys.list()).toHaveLength(1);
  });

  it("leaves nothing behind when the alias is taken or the store fails", async () => {
    const plane = await createControlPlane();
    await plane.create({ alias: "one" });
    expect((await faultOf(plane.create({ alias: "one" }))).code).toBe("client_object_conflict");
    plane.store.failNext(1);
    expect((await faultOf(plane.create({ alias: "two" }))).code).toBe("gateway_store_unavailable");
    expect(plane.keys.list().map(({ alias }) => alias)).toEqual(["one"]);
    expect(plane.store.audit).toHaveLength(1);
  });
});

describe("update", () => {
  it("changes what is given, leaves the rest, and audits the difference", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create({ alias: "one", userId: "ada", duration: "1d", models: ["a"] });
    plane.clock.advance(minuteMs);
    const after = await plane.keys.update(record.id, { models: ["b"], duration: null }, author);
    expect(after).toEqual({ ...record, models: ["b"], expiresAtMs: null, updatedAtMs: plane.clock.now() });
    expect(plane.whoIs(key)?.key).toEqual(after);
    expect(plane.store.audit.at(-1)).toMatchObject({ action: "key.update", details: { before: { models: ["a"], expiresAtMs: record.expiresAtMs }, after: { models: ["b"], expiresAtMs: null } } });
    expect(Object.keys((plane.store.audit.at(-1)!.details as { after: object }).after)).toEqual(["models", "expiresAtMs"]);
  });

  it("never brings back a key that is revoked at the same time", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create();
    const release = plane.store.hold();
    const revoked = plane.keys.remove([record.id], author);
    const updated = faultOf(plane.keys.update(record.id, { userId: "ada" }, author));
    release();
    await revoked;
    expect((await updated).code).toBe("client_object_missing");
    expect(plane.whoIs(key)).toBeUndefined();
    expect((await plane.restart()).whoIs(key)).toBeUndefined();
  });
});

describe("references", () => {
  it("name a key by id, by hash and by the key itself, and by nothing else", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create({ alias: "one" });
    expect([record.id, record.tokenHash, key].map((reference) => plane.keys.find(reference)?.id)).toEqual([record.id, record.id, record.id]);
    expect(["one", "", "sk-unknown", `sk-${record.tokenHash}`, controlPlaneAdminKey, hashText(controlPlaneAdminKey), "admin"].map((reference) => plane.keys.find(reference))).toEqual(Array(7).fill(undefined));
  });
});

describe("remove", () => {
  it("ends keys from the next request on, with all their secrets", async () => {
    const plane = await createControlPlane();
    const [one, two] = [await plane.create({ alias: "one" }), await plane.create()];
    await plane.keys.remove([one.record.id, one.key, two.record.tokenHash], author);
    expect([one, two].map(({ key }) => plane.whoIs(key))).toEqual([undefined, undefined]);
    expect(plane.store.audit.slice(2).map(({ action, object }) => [action, object])).toEqual([["key.delete", one.record.id], ["key.delete", two.record.id]]);
    await plane.create({ alias: "one" });
  });

  it("touches none when one of them is unknown", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create();
    expect((await faultOf(plane.keys.remove([record.id, "key_unknown"], author))).code).toBe("client_object_missing");
    expect(plane.whoIs(key)).toBeDefined();
  });
});

describe("rotate", () => {
  it("keeps the old secret for ten minutes, or for the overlap that was asked for", async () => {
    for (const [overlap, lengthMs] of [[undefined, 10 * minuteMs], ["2h", 120 * minuteMs]] as const) {
      const plane = await createControlPlane();
      const { key: old, record } = await plane.create({ alias: "one" });
      const { key, record: after } = await plane.keys.rotate(record.id, overlap === undefined ? {} : { overlap }, author);
      expect([after.id, after.alias, after.tokenHash, after.name]).toEqual([record.id, "one", hashText(showOnce(key)), `sk-...${showOnce(key).slice(-4)}`]);
      plane.clock.advance(lengthMs - 1);
      expect([old, showOnce(key)].map((secret) => plane.whoIs(secret)?.keyId)).toEqual([record.id, record.id]);
      expect((await plane.restart()).whoIs(old)).toBeDefined();
      plane.clock.advance(1);
      expect([old, showOnce(key)].map((secret) => plane.whoIs(secret)?.keyId)).toEqual([undefined, record.id]);
    }
  });

  it("ends the old secret at once when the overlap is nothing", async () => {
    const plane = await createControlPlane();
    const { key: old, record } = await plane.create();
    await plane.keys.rotate(old, { overlap: "0s" }, author);
    expect(plane.whoIs(old)).toBeUndefined();
    expect(plane.index.secretsOf(record.id)).toHaveLength(1);
  });

  it("never lengthens the life of an older secret, and keeps a bounded number", async () => {
    const plane = await createControlPlane();
    const { key: first, record } = await plane.create();
    const second = showOnce((await plane.keys.rotate(record.id, { overlap: "10m" }, author)).key);
    await plane.keys.rotate(record.id, { overlap: "1h" }, author);
    plane.clock.advance(10 * minuteMs);
    expect([first, second].map((secret) => plane.whoIs(secret)?.keyId)).toEqual([undefined, record.id]);
    for (let index = 0; index < 6; index++) {
      const current = showOnce((await plane.keys.rotate(record.id, { overlap: "1h" }, author)).key);
      expect(plane.whoIs(current)).toBeDefined();
    }
    expect(plane.index.secretsOf(record.id).filter(({ kind }) => kind === "previous")).toHaveLength(previousSecretsMax);
  });

  it("keeps the secret that was current until now, however many came before within the same overlap", async () => {
    const plane = await createControlPlane();
    const { record } = await plane.create();
    let last = "";
    for (let index = 0; index < 6; index++) {
      const before = last;
      last = showOnce((await plane.keys.rotate(record.id, {}, author)).key);
      if (before !== "") expect(plane.whoIs(before)?.keyId).toBe(record.id);
    }
  });

  it("refuses an overlap that is no span or endless", async () => {
    const plane = await createControlPlane();
    const { record } = await plane.create();
    for (const overlap of ["soon", "-1m", "31d"]) expect((await faultOf(plane.keys.rotate(record.id, { overlap }, author))).code).toBe("client_field_invalid");
    expect(plane.store.audit).toHaveLength(1);
  });

  it("sets fields together with the secret", async () => {
    const plane = await createControlPlane();
    const { record } = await plane.create({ userId: "ada" });
    expect((await plane.keys.rotate(record.id, { fields: { userId: "bea" } }, author)).record.userId).toBe("bea");
  });
});

describe("audit records", () => {
  it("hold no key and no hash, whatever was done", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create({ alias: "one" });
    const { key: next, record: after } = await plane.keys.rotate(record.id, {}, author);
    const token = ((await plane.call("POST /v1/me/token", undefined, showOnce(next))).body as { token: string }).token;
    await plane.keys.setBlocked(record.id, true, author);
    await plane.keys.setBlocked(record.id, false, author);
    await plane.keys.remove([record.id], author);
    const written = JSON.stringify(plane.store.audit);
    for (const secret of [key, showOnce(next), token, record.tokenHash, after.tokenHash, hashText(token)]) expect(written).not.toContain(secret);
    expect(plane.store.audit.map(({ action }) => action)).toEqual(["key.create", "key.rotate", "key.session", "key.block", "key.unblock", "key.delete"]);
  });
});
