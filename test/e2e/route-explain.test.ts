/**
 * Guarantee: `tollgate route explain` says where a call would go, and the call then goes there: by the key's rights, tags, budgets, warm prompt
 * caches, circuits and fallbacks. Asking changes nothing, a developer sees the own plan only, and circuits show by API, command, log and metrics.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { launcher } from "../support/gateway-process.ts";
import { adminKey, messagesBody, until, upstreamKey } from "../support/harness.ts";
import { newSession, startStage, type Stage } from "./stage.ts";

const secondKey = "sk-ant-second-canary-0000000000000000";
let stage: Stage;
let second: FakeAnthropic;

const pair = (name: string, first = "", other = "", extra = ""): string => `
  - name: ${name}
    ${extra}
    targets:
      - {provider: anthropic, model: claude-opus-4-8, id: ${name}-first${first}}
      - {provider: second, model: claude-opus-4-8, id: ${name}-second${other}}`;

beforeAll(async () => {
  second = await startFakeAnthropic({ apiKey: secondKey, forbiddenSecrets: [upstreamKey, adminKey] });
  stage = await startStage({
    config: `routing: {tag_match: any, circuit: {failures: 1, cooldown: 10m}}
budgets: [{scope: "target:claude-full-first", amount: 0}]`,
    providers: `second: {kind: anthropic, base_url: "${second.url}", api_key: "${secondKey}"}`,
    models: `models:${pair("claude-tags", ", tags: [eu]", ", tags: [default]")}${pair("claude-long", ", max_input_tokens: 2000")}${pair("claude-full")}${pair("claude-down")}${pair("claude-warm", "", "", "strategy: weighted")}${pair("claude-shares", ", weight: 3", "", "strategy: weighted, fallbacks: [claude-small, claude-tags], context_window_fallbacks: [claude-small]").replace("strategy: weighted, fallbacks", "strategy: weighted\n    fallbacks").replace(", context_window_fallbacks", "\n    context_window_fallbacks")}
  - {name: claude-small, provider: anthropic, model: claude-haiku-4-5, id: small, aliases: [little]}
  - {name: "claude-any-*", provider: anthropic, model: "claude-*", id: any}`,
  });
  stage.forbid(secondKey);
});

afterAll(async () => {
  await stage.close();
  await second.close();
});

interface Told {
  readonly model: string | null;
  readonly understood_as: string;
  readonly refusal: string | null;
  readonly targets: readonly { readonly id: string; readonly model: string; readonly place: number | null; readonly circuit: string; readonly is_warm: boolean; readonly reasons: readonly string[] }[];
  readonly fallbacks: readonly { readonly reason: string; readonly model: string; readonly fault: string | null }[];
}
const told = (query: Record<string, string>): Promise<Told> => stage.harness.admin<Told & Record<string, unknown>>("GET", `/api/v1/route?${new URLSearchParams(query).toString()}`);
const places = ({ targets }: Told): readonly string[] => targets.map(({ id, place }) => `${place ?? "-"} ${id.replace(/^claude-\w+-/, "")}`);
const served = async (model: string, options: { readonly session?: string; readonly headers?: Record<string, string> } = {}): Promise<string> =>
  (await stage.call({ body: messagesBody({ model }), ...options })).headers["x-litellm-model-id"]!.replace(/^claude-\w+-/, "");

describe("the plan", () => {
  it("says how a name was understood", async () => {
    const words = async (model: string, key?: string): Promise<unknown[]> => {
      const { model: name, understood_as, refusal } = await told({ model, ...(key === undefined ? {} : { key }) });
      return [name, understood_as, refusal];
    };
    await stage.harness.key({ key_alias: "alias-holder", aliases: { mine: "claude-small" } });
    await stage.harness.key({ key_alias: "narrow", models: ["claude-small"] });
    expect(await words("claude-small")).toEqual(["claude-small", "the model's own name", null]);
    expect(await words("little")).toEqual(["claude-small", "an alias of claude-small", null]);
    expect(await words("mine", "alias-holder")).toEqual(["claude-small", "the key's alias for claude-small, the model's own name", null]);
    expect(await words("small")).toEqual(["claude-small", "the id of a target of claude-small", null]);
    expect(await words("claude-any-opus-4-8")).toEqual(["claude-any-opus-4-8", "what the pattern claude-any-* serves", null]);
    expect(await words("claude-smal")).toEqual([null, "no model's name, alias or pattern", "Nothing serves this name. Near to it: claude-small, claude-full, claude-tags."]);
    expect(await words("claude-tags", "narrow")).toEqual(["claude-tags", "the model's own name", "The key may not use it: its models are claude-small."]);
  });

  it("is by tags, as the call is", async () => {
    const eu = await told({ model: "claude-tags", tags: "eu" });
    expect([places(eu), eu.targets[1]!.reasons]).toEqual([["1 first", "- second"], ["left out: its tags are default, the call's eu"]]);
    expect(await served("claude-tags", { headers: { "x-litellm-tags": "eu" } })).toBe("first");
    expect(places(await told({ model: "claude-tags" }))).toEqual(["1 second", "- first"]);
    expect(await served("claude-tags")).toBe("second");
  });

  it("is by the length of the prompt and by budgets without room", async () => {
    expect(places(await told({ model: "claude-long", input_tokens: "1999" }))).toEqual(["1 first", "2 second"]);
    expect(places(await told({ model: "claude-long", input_tokens: "2001" }))).toEqual(["1 second", "- first"]);
    const full = await told({ model: "claude-full" });
    expect([places(full), full.targets[1]!.reasons]).toEqual([["1 second", "- first"], ["left out: the budget of target:claude-full-first has no room"]]);
    expect(await served("claude-full")).toBe("second");
  });

  it("is by circuits, which show by API, command, log and metrics", async () => {
    stage.fake.script([{ status: 529 }]);
    expect(await served("claude-down")).toBe("second");
    const down = await told({ model: "claude-down" });
    expect(places(down)).toEqual(["1 second", "2 first"]);
    expect(down.targets[1]).toMatchObject({ circuit: "open", last_failure: "overloaded", reasons: ["its circuit is open, so it comes last"] });
    const { circuits } = await stage.harness.admin<{ circuits: unknown[] }>("GET", "/api/v1/circuits");
    expect(circuits).toEqual([{ target: "claude-down-first", model: "claude-opus-4-8", state: "open", is_parked: false, failures_in_row: 1, last_failure: "overloaded", opens_in_seconds: expect.closeTo(600, -2) as unknown }]);
    const metrics = await (await fetch(`${stage.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } })).text();
    expect(metrics).toMatch(/^tollgate_circuits\{target="claude-down-first",state="open"\} 1$/m);
    expect(metrics).toMatch(/^tollgate_circuit_openings_total\{target="claude-down-first"\} 1$/m);
    expect(metrics).toMatch(/^tollgate_retry_budget_tokens \d/m);
    expect(await command("circuits")).toMatch(/^TARGET.*\nclaude-down-first +claude-opus-4-8 +open +1 +overloaded +\d+ s$/m);
    expect(await command("explain", "--model", "claude-down")).toMatch(/1 +claude-down-second .*closed.*\n2 +claude-down-first .*open \(overloaded\), \d+ s +priority 1; its circuit is open, so it comes last/);
  });

  it("is where a session's prompt cache is warm, and asking claims nothing", async () => {
    const session = newSession();
    const before = await told({ model: "claude-warm", session, key: "warm-key" }).catch(() => undefined);
    expect(before).toBeUndefined();
    const key = await stage.harness.key({ key_alias: "warm-key" });
    for (let index = 0; index < 20; index++) expect((await told({ model: "claude-warm", session, key: "warm-key" })).targets.some(({ is_warm }) => is_warm)).toBe(false);
    const home = await served("claude-warm", { session, headers: { "x-api-key": key } });
    const warm = await told({ model: "claude-warm", session, key: "warm-key" });
    expect(warm.targets[0]).toMatchObject({ id: `claude-warm-${home}`, is_warm: true, reasons: ["the session's prompt cache is warm here"] });
    expect((await told({ model: "claude-warm", session: newSession(), key: "warm-key" })).targets.some(({ is_warm }) => is_warm)).toBe(false);
  });

  it("tells shares of a draw, and which models would step in for which key", async () => {
    const shares = await told({ model: "claude-shares" });
    expect(shares.targets.map(({ reasons }) => reasons)).toEqual([["drawn first for 75 % of the calls"], ["drawn first for 25 % of the calls"]]);
    await stage.harness.key({ key_alias: "no-tags", models: ["claude-shares", "claude-small"] });
    expect((await told({ model: "claude-shares", key: "no-tags" })).fallbacks).toEqual([
      { reason: "fallbacks", model: "claude-small", fault: null },
      { reason: "fallbacks", model: "claude-tags", fault: "the key may not use it" },
      { reason: "context_window_fallbacks", model: "claude-small", fault: null },
    ]);
  });
});

describe("who may ask", () => {
  const ask = async (key: string, query: string): Promise<{ readonly status: number; readonly text: string }> => {
    const reply = await fetch(`${stage.url}/api/v1/route?${query}`, { headers: { authorization: `Bearer ${key}` } });
    return { status: reply.status, text: await reply.text() };
  };

  it("is a developer for the own key; another's and none are the same answer", async () => {
    const ann = await stage.harness.key({ key_alias: "ann", models: ["claude-small"] });
    await stage.harness.key({ key_alias: "bea" });
    expect(JSON.parse((await ask(ann, "model=claude-tags")).text)).toMatchObject({ refusal: "No model that the key may use has this name. Near to it: claude-small." });
    expect((await ask(ann, "model=claude-small&key=ann")).status).toBe(200);
    const [others, nobodys] = [await ask(ann, "model=claude-small&key=bea"), await ask(ann, "model=claude-small&key=nobody")];
    expect([others.status, others.text]).toEqual([404, nobodys.text]);
    const { text } = await ask(ann, "model=claude-small");
    for (const secret of [second.url, stage.fake.url, secondKey, upstreamKey]) expect(text).not.toContain(secret);
    const circuits = await fetch(`${stage.url}/api/v1/circuits`, { headers: { authorization: `Bearer ${ann}` } });
    expect(circuits.status).toBe(403);
  });

  it.each([
    ["", "model: it is needed"],
    ["model=", "model: it must not be empty"],
    ["model=x&input_tokens=many", "input_tokens: it must be a whole number"],
    ["model=x&modle=y", "modle: there is no such field"],
    ["model=x&model=y", "model: it is there twice"],
  ])("is told what is wrong with %j", async (query, words) => {
    const reply = await ask(adminKey, query);
    expect([reply.status, reply.text]).toEqual([400, expect.stringContaining(words)]);
  });
});

async function command(...args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(process.execPath, [launcher, "route", ...args], { cwd: stage.harness.dataDir, env: { PATH: process.env["PATH"] ?? "", TOLLGATE_URL: stage.url, TOLLGATE_ADMIN_KEY: adminKey } })).stdout;
}

it("the command has --json, --help, and names the flag that is missing", async () => {
  expect(JSON.parse(await command("explain", "--model", "little", "--tag", "eu", "--tag", "ci", "--json"))).toMatchObject({ asked: "little", model: "claude-small" });
  expect(await command("explain", "--help")).toContain("--session <id>");
  expect(await command("explain", "--model", "claude-shares")).toMatch(/^claude-shares: the model's own name\nstrategy weighted\n\n[^]*\nfallbacks: claude-small\n/);
  for (const [flag, value] of [["--input-tokens", "many"], ["--model", ""], ["--session", ""]] as const) await expect(command("explain", "--model", "little", flag, value)).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining(flag) as unknown });
  await expect(command("explain")).rejects.toMatchObject({ stderr: expect.stringContaining("--model") as unknown });
  await expect(command("explain", "--model", "x", "--key", "nobody")).rejects.toMatchObject({ stderr: expect.stringContaining('There is no key with the alias or id "nobody".') as unknown });
  await until("nothing left in work", () => stage.fake.inFlight === 0);
});
