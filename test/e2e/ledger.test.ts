/**
 * Guarantee: however clients come and go, what the upstream billed stands in the ledger once and at its true price, a reply
 * costs the same streamed or plain, every report sums to the same total, and each row says whose it was.
 * `TOLLGATE_SEED=N` repeats a storm.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nanoUsd, parseUsd } from "../../src/kernel/money.ts";
import { billedNanoUsd, pricedModels } from "../support/bill-prices.ts";
import { billEntries, type BillEntry } from "../support/fake-anthropic-bill.ts";
import type { Behaviour, DeclinedHop, WireUsage } from "../support/fake-anthropic-types.ts";
import { messagesBody, until } from "../support/harness.ts";
import { newSession, startStage, type CallOptions, type Row, type Stage } from "./stage.ts";

const seed = Number(process.env["TOLLGATE_SEED"] ?? Date.now() % 2 ** 31);
const dimensions = ["key", "user", "team", "project", "model", "provider", "day", "session", "agent"] as const;

/** Numbers from 0 to 1 that repeat with the seed (mulberry32). */
function randomFrom(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function nano(text: unknown): bigint {
  const amount = parseUsd(String(text));
  if (amount === undefined) throw new Error(`no amount: ${String(text)}`);
  return amount;
}

const sumOf = (rows: readonly Row[]): bigint => rows.reduce((sum, row) => sum + nano(row["cost_usd"]), 0n);

/** The counts of a row in the wire's names, so that the second price list can price them. */
function countsOf(row: Row): WireUsage {
  const count = (name: string): number => Number(row[name]);
  return {
    input_tokens: count("input_tokens"),
    cache_read_input_tokens: count("cache_read_tokens"),
    cache_creation_input_tokens: count("cache_write_5m_tokens") + count("cache_write_1h_tokens"),
    cache_creation: { ephemeral_5m_input_tokens: count("cache_write_5m_tokens"), ephemeral_1h_input_tokens: count("cache_write_1h_tokens") },
    output_tokens: count("output_tokens"),
    service_tier: "standard",
  };
}

let stage: Stage;

beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage.close());

/** All rows, once every one is closed and the upstream has nothing under way. */
function settledRows(of: Stage): Promise<readonly Row[]> {
  return until(
    "a quiet ledger",
    async () => {
      const rows = await of.harness.rows();
      return of.fake.inFlight === 0 && rows.every((row) => row["closed_at"] !== null) ? rows : undefined;
    },
    30_000,
  );
}

describe("a storm of clients that leave", () => {
  const streams = Number(process.env["TOLLGATE_STREAMS"] ?? 300);
  const atOnce = 30;

  interface Plan {
    readonly model: string;
    readonly behaviour: Behaviour;
    /** When the client leaves: some time after it sent, at a byte of the reply, or never. */
    readonly leaves: { readonly afterMs: number } | { readonly atByte: number } | undefined;
    readonly contentBytes: number;
  }

  function planFrom(random: () => number): Plan {
    const pick = random();
    const whole = Math.floor(random() * 200);
    return {
      model: pricedModels[Math.floor(random() * pricedModels.length)]!,
      behaviour: {
        textBytes: 100 + Math.floor(random() * 1_500),
        deltaCharacters: 8 + Math.floor(random() * 60),
        ...(random() < 0.5 ? { writeDelayMs: Math.floor(random() * 6) } : {}),
        ...(random() < 0.3 ? { firstByteDelayMs: Math.floor(random() * 60) } : {}),
        ...(random() < 0.1 ? { status: random() < 0.5 ? 529 : 400 } : {}),
      },
      leaves: pick < 0.45 ? { afterMs: random() * 80 } : pick < 0.9 ? { atByte: Math.floor(random() * 4_000) } : undefined,
      contentBytes: random() < 0.1 ? whole * 1_000 : whole,
    };
  }

  /** @returns true when the answer came whole */
  async function carryOut(of: Stage, plan: Plan, session: string): Promise<boolean> {
    const leaving = new AbortController();
    const { leaves } = plan;
    const body = messagesBody({ model: plan.model, stream: true, messages: [{ role: "user", content: `${session} ${"x".repeat(plan.contentBytes)}` }] });
    const timer = leaves !== undefined && "afterMs" in leaves ? setTimeout(() => leaving.abort(), leaves.afterMs) : undefined;
    try {
      const reply = await of.open({ session, body, behaviour: plan.behaviour, signal: leaving.signal });
      let bytes = 0;
      reply.message.on("data", (piece: Buffer) => {
        bytes += piece.length;
        if (leaves !== undefined && "atByte" in leaves && bytes >= leaves.atByte) reply.leave();
      });
      return (await reply.ended) && reply.status === 200;
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Every way in which one attempt's row and its bill differ, as sentences. */
  function differences(row: Row, entry: BillEntry | undefined, cameWhole: boolean): string[] {
    const { state, source, outcome, status } = row;
    const told = `${String(source)}, ${String(outcome)}, status ${String(status)}, ${String(row["cost_usd"])} USD`;
    const cost = nano(row["cost_usd"]);
    if (state !== "closed" || source === "unresolved") return [`${String(state)}, ${told}`];
    if (cameWhole && source !== "reported") return [`came whole, yet ${told}`];
    if (source === "estimated" && cost !== billedNanoUsd(String(row["upstream_model"]), countsOf(row))) return [`the cost is not that of its counts: ${told}`];
    // A request that had left when its client did may or may not be billed; its input is booked rather than nothing.
    if (entry === undefined) return (source === "none" && cost === 0n) || (source === "estimated" && status === 0 && outcome === "client_closed") ? [] : [`no bill, yet ${told}`];
    if (source === "none") return [`billed, yet ${told}`];
    const { model, usage } = entry.billed;
    if (source === "reported") return cost === billedNanoUsd(model, usage) ? [] : [`billed ${billedNanoUsd(model, usage)} nano-USD, yet ${told}`];
    // A guess by what earlier replies had behind their characters.
    if (Number(row["output_tokens"]) > usage.output_tokens * 2 + 32) return [`far more output than there was: ${told}`];
    // From the first event on, the input is the upstream's own figure.
    return row["first_event_ms"] !== null && row["input_tokens"] !== usage.input_tokens ? [`input ${String(row["input_tokens"])} instead of ${usage.input_tokens}: ${told}`] : [];
  }

  it(`${streams} streams leave exactly one row each, at the price of the bill or near a cut reply's`, async () => {
    process.stdout.write(`abort storm: TOLLGATE_SEED=${seed}\n`);
    const random = randomFrom(seed);
    const own = await startStage();
    const waiting = Array.from({ length: streams }, () => ({ session: newSession(), plan: planFrom(random) }));
    const sessions = waiting.map(({ session }) => session);
    const whole = new Set<string>();
    const worker = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) if (await carryOut(own, next.plan, next.session)) whole.add(next.session);
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    const rows = await settledRows(own);
    const rowsOf = Map.groupBy(rows, (row) => String(row["session_id"]));
    const billOf = Map.groupBy(billEntries(own.fake.bill()), ({ billed }) => String(billed.sessionId));

    const found = sessions.flatMap((session) => {
      const [entries, mine] = [billOf.get(session) ?? [], rowsOf.get(session) ?? []];
      if (entries.length > 1 || mine.length > 1 || (entries.length === 1 && mine.length === 0)) return [`${session}: ${entries.length} bills, ${mine.length} rows`];
      const [row] = mine;
      if (row === undefined) return whole.has(session) ? [`${session}: came whole, no row`] : [];
      return differences(row, entries[0], whole.has(session)).map((text) => `${session}: ${text}`);
    });
    expect(found, `TOLLGATE_SEED=${seed}`).toEqual([]);
    expect([...rowsOf.keys()].filter((session) => !sessions.includes(session))).toEqual([]);
    const count = (source: string): number => rows.filter((row) => row["source"] === source).length;
    process.stdout.write(`abort storm: ${rows.length} rows (${count("reported")} reported, ${count("estimated")} estimated, ${count("none")} none, ${count("unresolved")} unresolved), ${billOf.size} bills\n`);
    // Otherwise the run proved nothing.
    expect(count("estimated")).toBeGreaterThan(50);
    expect(count("reported")).toBeGreaterThan(20);
    const { total } = await own.harness.admin<{ total: Row }>("GET", "/api/v1/usage?by=session");
    expect(nano(total["cost_usd"])).toBe(sumOf(rows));
    expect(total["attempts"]).toBe(rows.length);
    await own.close();
  }, 90_000);
});

/** One request, streamed and plain, as its two rows. */
async function twins(of: Stage, call: Omit<CallOptions, "body" | "session">, fields: Record<string, unknown> = {}): Promise<readonly [Row, Row]> {
  const rows: Row[] = [];
  for (const stream of [true, false]) {
    const reply = await of.call({ ...call, body: messagesBody({ ...fields, stream }) });
    expect([reply.status, reply.isComplete]).toEqual([200, true]);
    rows.push((await of.rows(reply.session))[0]!);
  }
  return [rows[0]!, rows[1]!];
}

const chargedMembers = ["input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "server_tool_uses", "cost_usd", "price_row", "source", "is_provisional", "is_unpriced", "served_model"];
const charged = (row: Row): Row => Object.fromEntries(chargedMembers.map((name) => [name, row[name]]));

describe("a stream and its plain twin", () => {
  const written = (short: number, long: number): Partial<WireUsage> => ({ cache_creation_input_tokens: short + long, cache_creation: { ephemeral_5m_input_tokens: short, ephemeral_1h_input_tokens: long } });
  /** What the upstream reports, and the cost by Anthropic's list, worked out by hand for `claude-opus-4-8` (5 / 25 dollars). */
  const cases: readonly (readonly [string, Partial<WireUsage>, string])[] = [
    ["a plain turn", { input_tokens: 1_000, output_tokens: 100 }, "0.0075"],
    ["all five counts", { input_tokens: 12, cache_read_input_tokens: 48_211, output_tokens: 321, ...written(2_003, 401) }, "0.04871925"],
    ["one-hour writes alone", { input_tokens: 3, output_tokens: 7, ...written(0, 20_000) }, "0.20019"],
    ["searches", { input_tokens: 100, output_tokens: 10, server_tool_use: { web_search_requests: 3 } }, "0.03075"],
    ["inference in the US", { input_tokens: 1_000, output_tokens: 100, inference_geo: "us" }, "0.00825"],
    ["nothing but one token", { input_tokens: 0, output_tokens: 1 }, "0.000025"],
  ];

  it.each(cases)("cost the same for %s", async (_, usage, dollars) => {
    const [streamed, plain] = await twins(stage, { behaviour: { usage } });
    expect(charged(streamed)).toEqual(charged(plain));
    expect(nano(plain["cost_usd"])).toBe(nano(dollars));
    expect([plain["source"], streamed["is_streaming"], plain["is_streaming"]]).toEqual(["reported", true, false]);
  });

  it("cost the same where the end corrects what the start has reported", async () => {
    const usage = { input_tokens: 50, cache_read_input_tokens: 5, output_tokens: 9 };
    const reply = await stage.call({ body: messagesBody({ stream: true }), behaviour: { usage: { ...usage, input_tokens: 1 }, deltaUsage: { ...usage, cache_creation_input_tokens: null } } });
    const [, plain] = await twins(stage, { behaviour: { usage } });
    expect(charged((await stage.rows(reply.session))[0]!)).toEqual(charged(plain));
  });
});

describe("a reply with iterations", () => {
  const part = (type: string, model: string | undefined, input: number, output: number): Record<string, unknown> => ({ type, ...(model === undefined ? {} : { model }), input_tokens: input, output_tokens: output });
  /** Kind, what is reported beside a top level of 10 / 1 tokens, the sums, the cost worked out by hand, the models priced. */
  const cases: readonly (readonly [string, readonly Record<string, unknown>[], readonly [number, number], string, string])[] = [
    ["a compaction before the answer", [part("compaction", undefined, 100_000, 2_000), part("message", undefined, 3_000, 500)], [103_000, 2_500], "0.5775", "anthropic/claude-opus-4-8"],
    ["an advisor of another model", [part("message", undefined, 1_000, 100), part("advisor_message", "claude-opus-4-1", 2_000, 300), part("message", undefined, 1_200, 50)], [4_200, 450], "0.06725", "anthropic/claude-opus-4-8,anthropic/claude-opus-4-1"],
    ["a fallback to another model", [part("message", "claude-fable-5", 400, 20), part("fallback_message", "claude-opus-4-8", 400, 80)], [800, 100], "0.009", "anthropic/claude-fable-5,anthropic/claude-opus-4-8"],
    ["two hops of fallback", [part("message", "claude-fable-5", 10, 0), part("fallback_message", "claude-opus-4-8", 10, 0), part("fallback_message", "claude-haiku-4-5", 10, 5)], [30, 5], "0.000185", "anthropic/claude-fable-5,anthropic/claude-opus-4-8,anthropic/claude-haiku-4-5"],
  ];

  it.each(cases)("costs the sum of its parts, each at its own model: %s", async (_, iterations, [input, output], dollars, priceRow) => {
    const usage = { input_tokens: 10, output_tokens: 1, iterations } as unknown as Partial<WireUsage>;
    const [streamed, plain] = await twins(stage, { behaviour: { usage } });
    expect(charged(streamed)).toEqual(charged(plain));
    expect(plain).toMatchObject({ input_tokens: input, output_tokens: output, price_row: priceRow, source: "reported", is_provisional: false });
    expect(nano(plain["cost_usd"])).toBe(nano(dollars));
  });

  it("keeps caches of each part apart, also by lifetime", async () => {
    const cache = { cache_read_input_tokens: 1_000, cache_creation_input_tokens: 30, cache_creation: { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 20 } };
    const iterations = [{ ...part("message", undefined, 1, 1), ...cache }, { ...part("advisor_message", "claude-haiku-4-5", 1, 1), ...cache }];
    const [, plain] = await twins(stage, { behaviour: { usage: { iterations } as unknown as Partial<WireUsage> } });
    expect(plain).toMatchObject({ cache_read_tokens: 2_000, cache_write_5m_tokens: 20, cache_write_1h_tokens: 40 });
    const each = { input_tokens: 1, output_tokens: 1, service_tier: "standard", ...cache };
    expect(nano(plain["cost_usd"])).toBe(billedNanoUsd("claude-opus-4-8", each) + billedNanoUsd("claude-haiku-4-5", each));
  });
});

describe("a reply in which models declined", () => {
  const opus = "claude-opus-4-8";
  const haiku = "claude-haiku-4-5";
  const usage = { input_tokens: 2_000, cache_read_input_tokens: 0, cache_creation_input_tokens: 0, cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 } };
  const hop = (category: string | null, text?: string): DeclinedHop => ({ model: opus, category, inputTokens: 1_000, ...(text === undefined ? {} : { text }) });
  /** What the upstream does, the tokens it reports, the cost worked out by hand (opus 5 / 25, haiku 1 / 5 dollars a million). */
  const cases: readonly (readonly [string, Behaviour, readonly [number, number], string])[] = [
    ["a refusal before any output", { refusal: { category: "cyber" }, usage }, [2_000, 0], "0"],
    ["one of no category", { refusal: { category: null }, usage }, [2_000, 0], "0"],
    ["one of a billed category", { refusal: { category: "bio" }, usage }, [2_000, 0], "0.01"],
    ["one after some output", { refusal: { category: "cyber", text: "Well, let me" }, usage }, [2_000, 3], "0.010075"],
    ["a fallback", { declinedHops: [hop("cyber")], replyModel: haiku, text: "Fine", usage }, [3_000, 1], "0.002005"],
    ["a fallback from a billed category", { declinedHops: [hop("frontier_llm")], replyModel: haiku, text: "Fine", usage }, [3_000, 1], "0.007005"],
    ["a fallback after some output", { declinedHops: [hop("cyber", "Well")], replyModel: haiku, text: "Fine", usage }, [3_000, 2], "0.00703"],
    ["a chain that declines to its end", { declinedHops: [hop("bio")], refusal: { category: "cyber" }, replyModel: haiku, usage }, [3_000, 0], "0.005"],
    ["a chain of which nothing is billed", { declinedHops: [hop(null)], refusal: { category: "general_harms" }, replyModel: haiku, usage }, [3_000, 0], "0"],
  ];

  it.each(cases)("costs what the upstream bills, and shows all that it reports: %s", async (_, behaviour, [input, output], dollars) => {
    const before = stage.fake.bill().length;
    const [streamed, plain] = await twins(stage, { behaviour });
    // Of a stream that one model began and another ended, the start names the first.
    const ofMoney = (row: Row): Row => ({ ...charged(row), served_model: undefined });
    expect(ofMoney(streamed)).toEqual(ofMoney(plain));
    expect(plain).toMatchObject({ input_tokens: input, output_tokens: output, source: "reported", is_unpriced: false, is_provisional: false });
    expect(nano(plain["cost_usd"])).toBe(nano(dollars));
    const none = { cache_read_input_tokens: 0, cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 } };
    const bills = billEntries(stage.fake.bill().slice(before)).map(({ billed }) =>
      (billed.usage.iterations ?? [billed.usage]).reduce((sum, part) => sum + billedNanoUsd("model" in part ? part.model! : billed.model, { ...billed.usage, ...none, ...part }), 0n),
    );
    expect(bills).toEqual(dollars === "0" ? [] : [nano(dollars), nano(dollars)]);
  });
});

describe("reports of one ledger", () => {
  it("sum to the same total by every dimension, by rows, by keys and by LiteLLM's log", async () => {
    const own = await startStage({ models: 'models: [{name: "*", provider: anthropic}]', fake: { models: ["claude-opus-4-8", "claude-haiku-4-5", "claude-opus-99", "mystery-1"] } });
    const random = randomFrom(20_261_123);
    const pick = <Value>(values: readonly Value[]): Value => values[Math.floor(random() * values.length)]!;
    const keys = [own.key, ...(await Promise.all([{ user_id: "ada", team_id: "engines" }, { user_id: "bea", team_id: "engines" }, { user_id: "ada", team_id: "looms", tags: ["project:loom"] }].map((fields) => own.harness.key(fields))))];
    const sessions = [newSession(), newSession(), newSession(), newSession()];
    const behaviours: readonly Behaviour[] = [{}, {}, {}, { status: 529 }, { fault: { at: "mid-text", does: "destroy" } }, { fault: { at: "connect", does: "reset" } }];
    const calls = Array.from({ length: 60 }, (_, index): CallOptions => {
      const agent = pick([undefined, "agent-1", "agent-2"]);
      return {
        session: pick(sessions),
        body: messagesBody({ model: pick(["claude-opus-4-8", "claude-haiku-4-5", "claude-opus-99", "mystery-1"]), stream: index % 2 === 0 }),
        behaviour: { ...pick(behaviours), usage: { input_tokens: 1 + Math.floor(random() * 9_999), output_tokens: 1 + Math.floor(random() * 999) } },
        headers: { "x-api-key": pick(keys), ...(agent === undefined ? {} : { "x-claude-code-agent-id": agent }) },
      };
    });
    for (let index = 0; index < calls.length; index += 12) await Promise.all(calls.slice(index, index + 12).map((call) => own.call(call)));

    const rows = await settledRows(own);
    const total = sumOf(rows);
    expect(rows).toHaveLength(calls.length);
    expect(total).toBeGreaterThan(0n);
    for (const by of dimensions) {
      const report = await own.harness.admin<{ groups: Row[]; total: Row }>("GET", `/api/v1/usage?by=${by}`);
      expect([by, sumOf(report.groups), nano(report.total["cost_usd"])]).toEqual([by, total, total]);
      expect(report.groups.reduce((sum, group) => sum + Number(group["attempts"]), 0)).toBe(rows.length);
      for (const count of ["input_tokens", "output_tokens"]) expect(report.groups.reduce((sum, group) => sum + Number(group[count]), 0)).toBe(rows.reduce((sum, row) => sum + Number(row[count]), 0));
      expect(report.total["unpriced_attempts"]).toBe(rows.filter((row) => row["is_unpriced"] === true).length);
      expect(report.total["unresolved_attempts"]).toBe(rows.filter((row) => row["state"] === "unresolved").length);
      expect(nano(report.total["reported_usd"]) + nano(report.total["estimated_usd"])).toBe(total);
    }
    // LiteLLM's shapes hold money as JSON numbers, which carry a nano-dollar of these sums exactly.
    const nanoOf = (dollars: unknown): bigint => BigInt(Math.round(Number(dollars) * 1e9));
    const spends = await Promise.all(keys.map((key) => own.harness.admin<{ info: { spend: number } }>("GET", `/key/info?key=${key}`)));
    expect(spends.reduce((sum, { info }) => sum + nanoOf(info.spend), 0n)).toBe(total);
    const logs = await own.harness.admin<Row[]>("GET", "/spend/logs");
    expect(logs.reduce((sum, row) => sum + nanoOf(row["spend"]), 0n)).toBe(total);
    const day = new Date().toISOString().slice(0, 10);
    const before = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    const days = await own.harness.admin<Row[]>("GET", `/spend/logs?start_date=${before}&end_date=${day}`);
    expect(days.reduce((sum, row) => sum + nanoOf(row["spend"]), 0n)).toBe(total);
    const told = await Promise.all(keys.map(async (key) => (await (await fetch(`${own.url}/v1/me`, { headers: { "x-api-key": key } })).json()) as Row));
    expect(told.reduce((sum, me) => sum + nano(me["spend_usd"]), 0n)).toBe(total);
    await own.close();
  }, 60_000);
});

describe("whose a row is", () => {
  it("is in it: the key's user and team, and the labels of the headers", async () => {
    const key = await stage.harness.key({ user_id: "ada", team_id: "engines", tags: ["cost-42"] });
    stage.forbid(key);
    const session = newSession();
    await stage.call({
      session,
      headers: {
        "x-api-key": key,
        "x-claude-code-agent-id": "agent-7",
        "x-claude-code-parent-agent-id": "agent-1",
        "x-claude-code-request-class": "subagent",
        "x-litellm-tags": "project:loom, night-shift",
        // Labels of others change nothing about who pays.
        "x-litellm-end-user-id": "mallory",
        "x-claude-gateway-user-id": "mallory",
      },
      body: messagesBody({ metadata: { user_id: JSON.stringify({ device_id: "d", account_uuid: "mallory", session_id: "s" }) } }),
    });
    const [row] = await stage.rows(session);
    expect(row).toMatchObject({
      user_id: "ada",
      team_id: "engines",
      project: "loom",
      tags: ["cost-42", "night-shift"],
      session_id: session,
      agent_id: "agent-7",
      parent_agent_id: "agent-1",
      request_class: "subagent",
      requested_model: "claude-opus-4-8",
      upstream_model: "claude-opus-4-8",
      served_model: "claude-opus-4-8",
      provider: "anthropic",
      ordinal: 1,
      status: 200,
      outcome: "completed",
    });
    const { rows } = await stage.harness.admin<{ rows: Row[] }>("GET", `/api/v1/usage?rows=9&key=${key}`);
    expect(rows).toEqual([row]);
    for (const member of ["duration_ms", "first_event_ms", "request_bytes", "response_bytes"]) expect(Number(row![member]), member).toBeGreaterThanOrEqual(member.endsWith("bytes") ? 1 : 0);
    expect(row!["upstream_request_id"]).toMatch(/^req_/);
  });

  it("is left open where nothing says it", async () => {
    const reply = await stage.call({ headers: { "x-claude-code-session-id": null } });
    expect(reply.status).toBe(200);
    const row = await until("the row", async () => (await stage.harness.rows()).find(({ request_id, closed_at }) => request_id === reply.headers["x-tollgate-request-id"] && closed_at !== null));
    expect(row).toMatchObject({ session_id: null, agent_id: null, parent_agent_id: null, request_class: null, project: null, tags: [], user_id: null, team_id: null });
  });

  it("counts for the project of the key, and for the request's only where the key has none", async () => {
    const key = await stage.harness.key({ tags: ["project:of-the-key", "x"] });
    const first = await stage.call({ headers: { "x-api-key": key } });
    expect((await stage.rows(first.session))[0]).toMatchObject({ project: "of-the-key", tags: ["x"] });
    const second = await stage.call({ headers: { "x-api-key": key, "x-litellm-tags": "project:of-the-request" } });
    expect((await stage.rows(second.session))[0]!["project"]).toBe("of-the-key");
    const third = await stage.call({ headers: { "x-litellm-tags": "project:of-the-request" } });
    expect((await stage.rows(third.session))[0]!["project"]).toBe("of-the-request");
  });

  it("names the model asked for, the one sent and the one that answered", async () => {
    const own = await startStage({ models: 'models: [{name: team-opus, targets: [{provider: anthropic, model: claude-opus-4-8}]}]' });
    const reply = await own.call({ body: messagesBody({ model: "team-opus" }), behaviour: { replyModel: "claude-opus-4-8-20260101" } });
    expect((await own.rows(reply.session))[0]).toMatchObject({ requested_model: "team-opus", upstream_model: "claude-opus-4-8", served_model: "claude-opus-4-8-20260101", price_row: "anthropic/claude-opus-4-8" });
    await own.close();
  });

  it("every attempt of a failed-over request is a row of its own under one request", async () => {
    const own = await startStage({
      providers: 'second: {kind: anthropic, base_url: "http://127.0.0.1:1", api_key: "sk-ant-second-0000000000000000"}',
      models: 'models: [{name: "claude-*", targets: [{provider: second, model: "claude-*"}, {provider: anthropic, model: "claude-*"}]}]',
    });
    const reply = await own.call();
    expect(reply.status).toBe(200);
    const rows = await own.rows(reply.session, 2);
    expect(rows.map((row) => [row["ordinal"], row["provider"], row["source"], row["request_id"]])).toEqual([
      [1, "second", "none", reply.headers["x-tollgate-request-id"]],
      [2, "anthropic", "reported", reply.headers["x-tollgate-request-id"]],
    ]);
    expect(nano(rows[0]!["cost_usd"])).toBe(nanoUsd(0n));
    await own.close();
  });
});
