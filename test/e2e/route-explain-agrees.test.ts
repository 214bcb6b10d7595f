/**
 * Guarantee: where calls differ in more than their model, the explanation still says what a call then meets: fallbacks inside a warm session,
 * logins of the caller's own, projects, limits of targets, quotas that are waited for. A developer learns nothing of models the key may not use.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { adminKey, messagesBody, upstreamKey } from "../support/harness.ts";
import { newSession, startStage, type Stage } from "./stage.ts";

const secondKey = "sk-ant-second-canary-1111111111111111";
let stage: Stage;
let second: FakeAnthropic;

const targets = (name: string, first: string, other = ""): string => `
    targets:
      - {provider: anthropic, model: claude-opus-4-8, id: ${name}-first${first}}
      - {provider: second, model: claude-opus-4-8, id: ${name}-second${other}}`;

beforeAll(async () => {
  second = await startFakeAnthropic({ apiKey: secondKey, forbiddenSecrets: [upstreamKey, adminKey] });
  stage = await startStage({
    config: `routing: {tag_match: all, circuit: {failures: 1, cooldown: 10m}}
budgets: [{scope: "target:broke", amount: 0, downgrade: claude-other}, {scope: "target:poor", amount: 0, downgrade: claude-eu}]`,
    providers: `second: {kind: anthropic, base_url: "${second.url}", api_key: "${secondKey}"}`,
    models: `models:
  - name: claude-session
    fallbacks: [claude-other]
    targets: [{provider: anthropic, model: claude-opus-4-8, id: session-only}]
  - {name: claude-other, provider: second, model: claude-haiku-4-5, id: other}
  - name: claude-login${targets("login", ", credential: client")}
  - name: claude-project${targets("project", ", tags: [eu]", ", tags: [default]")}
  - {name: claude-tagless, provider: anthropic, model: claude-opus-4-8, id: tagless, tags: [us, eu], fallbacks: [claude-eu]}
  - {name: claude-eu, targets: [{provider: second, model: claude-haiku-4-5, id: eu, tags: [eu]}]}
  - {name: claude-poor, provider: anthropic, model: claude-opus-4-8, id: poor, tags: [us]}
  - {name: claude-broke, provider: anthropic, model: claude-opus-4-8, id: broke}
  - name: claude-limit${targets("limit", ", limits: {requests_per_minute: 1}")}
  - name: claude-counted${targets("counted", "")}
  - name: claude-parked${targets("parked", "")}`,
  });
  stage.forbid(secondKey);
});

afterAll(async () => {
  await stage.close();
  await second.close();
});

interface Told {
  readonly model: string | null;
  readonly refusal: string | null;
  readonly targets: readonly { readonly id: string; readonly place: number | null; readonly circuit: string; readonly reasons: readonly string[] }[];
  readonly fallbacks: readonly { readonly model: string; readonly fault: string | null }[];
}
const told = (query: Record<string, string>): Promise<Told> => stage.harness.admin<Told & Record<string, unknown>>("GET", `/api/v1/route?${new URLSearchParams(query).toString()}`);
const places = ({ targets: each }: Told): readonly string[] => each.map(({ id, place }) => `${place ?? "-"} ${id.replace(/^\w+-/, "")}`);
const served = async (model: string, options: { readonly session?: string; readonly headers?: Record<string, string> } = {}): Promise<string> => (await stage.call({ body: messagesBody({ model }), ...options })).headers["x-litellm-model-id"]!.replace(/^\w+-/, "");

describe("the explanation agrees with the call", () => {
  it("that in a session whose prompt cache is warm no other model steps in", async () => {
    const key = await stage.harness.key({ key_alias: "in-session" });
    const session = newSession();
    expect((await told({ model: "claude-session", key: "in-session", session })).fallbacks).toEqual([{ reason: "fallbacks", model: "claude-other", fault: null }]);
    expect(await served("claude-session", { session, headers: { "x-api-key": key } })).toBe("only");
    expect((await told({ model: "claude-session", key: "in-session", session })).fallbacks).toEqual([{ reason: "fallbacks", model: "claude-other", fault: "not inside a session whose prompt cache is warm" }]);
    stage.fake.script([{ status: 529 }]);
    const failed = await stage.call({ body: messagesBody({ model: "claude-session" }), session, headers: { "x-api-key": key } });
    expect([failed.status, failed.headers["x-tollgate-fallback-from"]]).toEqual([529, undefined]);
  });

  it("that who sends no login of the own does not get to targets for those who do", async () => {
    const without = await told({ model: "claude-login" });
    expect([places(without), without.targets[1]!.reasons]).toEqual([["1 second", "- first"], ["left out: only for callers who send a login of their own for it"]]);
    expect(await served("claude-login")).toBe("second");
    expect(places(await told({ model: "claude-login", own_login: "true" }))).toEqual(["1 first", "2 second"]);
  });

  it("that a project is no tag", async () => {
    expect(places(await told({ model: "claude-project", tags: "eu,project:ledger" }))).toEqual(["1 first", "- second"]);
    expect(await served("claude-project", { headers: { "x-litellm-tags": "eu,project:ledger" } })).toBe("first");
  });

  it("that a project the key may not spend for is refused", async () => {
    await stage.harness.key({ key_alias: "one-project", metadata: { allowed_projects: ["ledger"] } });
    expect((await told({ model: "claude-project", key: "one-project", tags: "project:ledger" })).refusal).toBeNull();
    expect((await told({ model: "claude-project", key: "one-project", tags: "project:other" })).refusal).toBe('The key may not spend for the project "other".');
  });

  it("that a target without room under its limits is left out, and asking takes none of it", async () => {
    for (let index = 0; index < 3; index++) expect(places(await told({ model: "claude-limit" }))).toEqual(["1 first", "2 second"]);
    expect(await served("claude-limit")).toBe("first");
    const full = await told({ model: "claude-limit" });
    expect([places(full), full.targets[1]!.reasons]).toEqual([["1 second", "- first"], [expect.stringMatching(/^left out: target limit-first has a limit of 1 requests a minute and has reached it; there is room again in \d+ seconds$/)]]);
    expect(await served("claude-limit")).toBe("second");
  });

  it("that a model of which no target serves the tags never steps in, and the caller is told of the failure", async () => {
    const tags = "us";
    expect((await told({ model: "claude-tagless", tags })).fallbacks).toEqual([{ reason: "fallbacks", model: "claude-eu", fault: "no target of it serves the call's tags" }]);
    stage.fake.script([{ status: 529 }]);
    const failed = await stage.call({ body: messagesBody({ model: "claude-tagless" }), headers: { "x-litellm-tags": tags } });
    expect([failed.status, failed.text()]).toEqual([529, expect.stringContaining("overloaded_error")]);
    expect((await told({ model: "claude-tagless", tags: "eu" })).fallbacks).toEqual([{ reason: "fallbacks", model: "claude-eu", fault: null }]);
  });

  it("that a budget without room names the model that serves", async () => {
    const broke = await told({ model: "claude-broke" });
    expect([places(broke), broke.refusal, broke.fallbacks]).toEqual([["- broke"], null, [{ reason: "downgrade", model: "claude-other", fault: null }]]);
    expect(await served("claude-broke")).toBe("other");
    expect(await told({ model: "claude-poor", tags: "us" })).toMatchObject({ refusal: "No target would serve this call.", fallbacks: [{ reason: "downgrade", model: "claude-eu", fault: "no target of it serves the call's tags" }] });
    const poor = await stage.call({ body: messagesBody({ model: "claude-poor" }), headers: { "x-litellm-tags": "us" } });
    expect([poor.status, poor.text()]).toEqual([429, expect.stringContaining("billing_error")]);
  });

  it("that tries after a failure are counted by what they were", async () => {
    const text = await (await fetch(`${stage.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } })).text();
    const counts = text.split("\n").filter((line) => line.startsWith("tollgate_further_tries_total{"));
    expect(counts).toEqual([]);
    stage.fake.script([{ status: 500 }]);
    expect(await served("claude-counted")).toBe("second");
    expect(await (await fetch(`${stage.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } })).text()).toMatch(/^tollgate_further_tries_total\{kind="failover",target="counted-first"\} 1$/m);
  });

  it("that a quota is waited for, which is no failure", async () => {
    stage.fake.script([{ status: 429, headers: { "retry-after": "120" } }]);
    expect(await served("claude-parked")).toBe("second");
    const parked = await told({ model: "claude-parked" });
    expect([places(parked), parked.targets[1]!.reasons]).toEqual([["1 second", "2 first"], ["its quota is used up for now, so it comes last"]]);
  });
});

describe("a developer", () => {
  const ask = async (key: string, model: string): Promise<Told> => (await (await fetch(`${stage.url}/api/v1/route?model=${model}`, { headers: { authorization: `Bearer ${key}` } })).json()) as Told;

  it("is told the same of a model that the key may not use and of none", async () => {
    const key = await stage.harness.key({ key_alias: "narrow", models: ["claude-session"] });
    const [forbidden, none] = [await ask(key, "claude-other"), await ask(key, "claude-otter")];
    expect({ ...forbidden, asked: "" }).toEqual({ ...none, asked: "" });
    expect(JSON.stringify(await ask(key, "claude-session"))).not.toContain("claude-other");
    const byAdmin = await told({ model: "claude-other", key: "narrow" });
    expect(byAdmin.refusal).toBe("The key may not use it: its models are claude-session.");
  });
});
