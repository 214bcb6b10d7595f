/**
 * What budgets cost a call before it is sent: CPU of finding room under one budget of every kind of scope, without the journal, with
 * 10,000 keys in 100 teams. Run with `node bench/admission.ts [--keys N] [--teams N] [--runs N] [--assert MICROSECONDS]`.
 */
import { appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { budgets as budgetsSchema } from "../src/config/budgets.ts";
import { defaultConfig } from "../src/config/load.ts";
import { dialects } from "../src/dialects/registry.ts";
import { manualClock } from "../src/kernel/clock.ts";
import { newId } from "../src/kernel/ids.ts";
import { nanoUsd } from "../src/kernel/money.ts";
import type { Hold } from "../src/ledger/ledger.ts";
import { scopeKinds } from "../src/ledger/scope.ts";
import { startLedger } from "../src/ledger/start-ledger.ts";
import { createLimitRules } from "../src/limits/limit-rules.ts";
import { loadPriceBook } from "../src/metering/price-book.ts";
import type { AttemptOpening } from "../src/pipeline/books.ts";
import { createEstimates } from "../src/pipeline/estimator.ts";
import type { Planned, PlannedTarget } from "../src/pipeline/exchange.ts";
import { takeRoom } from "../src/pipeline/holds.ts";
import type { Services } from "../src/pipeline/services.ts";
import { providers } from "../src/providers/registry.ts";
import { createRouteTable } from "../src/routing/route.ts";
import { median } from "./statistics.ts";

const { values: options } = parseArgs({ options: { keys: { type: "string", default: "10000" }, teams: { type: "string", default: "100" }, runs: { type: "string", default: "5" }, assert: { type: "string" } } });
const keyCount = Number(options.keys);
const teamCount = Number(options.teams);
const model = "claude-opus-4-8";
const batch = 1_000;
const batches = 100;
const clock = manualClock(Date.UTC(2026, 10, 16));

/** One budget for each scope of each kind, large enough for all. */
function allBudgets(): ReturnType<typeof budgetsSchema.parse> {
  const scopes = scopeKinds.filter((kind) => kind !== "run" && kind !== "key").map((kind) => (kind === "global" ? "global" : `${kind}:*`));
  return budgetsSchema.parse(scopes.map((scope) => ({ scope, amount: 1_000_000_000, window: "month" })));
}

/** A call of a coding client, planned. */
function plannedCall(): { readonly planned: Planned; readonly target: PlannedTarget } {
  const loaded = defaultConfig({ env: { ANTHROPIC_API_KEY: "sk-ant-benchmark" }, providerSchemas: new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings])), accept: [] });
  if (!loaded.ok) throw new Error("the default configuration is not valid");
  const { config } = loaded;
  const priceBook = loadPriceBook();
  const [{ name, kind, settings }] = [...config.providers.values()] as [{ name: string; kind: string; settings: unknown }];
  const provider = providers[kind]!;
  const place = { name, provider, settings, credentials: undefined, destination: provider.destination(settings) };
  const routes = createRouteTable(config);
  const route = routes.resolve(model)!;
  const target: PlannedTarget = { ...route.targets[0]!, place, priceRegion: undefined };
  const bytes = Buffer.from(JSON.stringify({ model, max_tokens: 32_000, stream: true, messages: [{ role: "user", content: "x".repeat(1_000) }] }));
  const facts = dialects["anthropic-messages"].inspect(bytes);
  const snapshot = { config, priceBook, routes, places: new Map([[name, place]]), limitRules: createLimitRules([]) };
  return { target, planned: { exchange: { snapshot, operation: "messages" }, payload: { bytes }, facts, route, targets: [target] } as unknown as Planned };
}

function openings(target: PlannedTarget): readonly AttemptOpening[] {
  return Array.from({ length: keyCount }, (_, index) => {
    const nowMs = clock.now();
    return {
      attemptId: newId("att", nowMs), requestId: newId("req", nowMs), ordinal: 1, openedAtMs: nowMs, keyId: `key_${index}`, userId: `user-${index >> 1}`, teamId: `team-${index % teamCount}`,
      organizationId: "org", endUserId: `end-${index % 500}`, project: `project-${index % 50}`, tags: ["ci"], sessionId: `session-${index}`, agentId: null, parentAgentId: null, requestClass: null,
      requestedModel: model, model, upstreamModel: model, provider: target.place.name, targetId: target.target.id, isStreaming: true, requestBytes: 100_000, holdNanoUsd: nanoUsd(0n), strictHoldNanoUsd: nanoUsd(0n),
    };
  });
}

const { planned, target } = plannedCall();
const budgets = allBudgets();
const keys = Array.from({ length: keyCount }, (_, index) => ({ id: `key_${index}`, maxBudgetUsd: "1000000", budgetDuration: "30d", metadata: {} }));
const ledger = await startLedger({ budgets, keys, usage: { spentSince: () => Promise.resolve([]), spentIn: () => Promise.resolve([]) }, nowMs: clock.now() });
const services = { ledger, estimates: createEstimates(clock), clock } as unknown as Services;
const calls = openings(target);
let serial = 0;

/** CPU of `batch` admissions, microseconds each; what they hold is settled outside the measurement. */
function admitBatch(): number {
  const holds: Hold[] = [];
  const from = process.cpuUsage();
  for (let index = 0; index < batch; index++) {
    const opening = { ...calls[serial % keyCount]!, attemptId: `att_${serial++}` as const };
    const room = takeRoom(services, planned, target, opening);
    if (!room.isFound || room.hold === undefined) throw new Error("no room");
    holds.push(room.hold);
  }
  const { user, system } = process.cpuUsage(from);
  for (const hold of holds) ledger.settle(hold, 1_000_000n, "reported");
  return (user + system) / batch;
}

const run = (): number => median(Array.from({ length: batches }, admitBatch));
run();
const runs = Array.from({ length: Number(options.runs) }, run);
const scopes = ledger.balances(clock.now()).length;
const bindings = budgets.length + 1;
const middle = median(runs);
process.stdout.write(`admission: ${middle.toFixed(2)} µs CPU (median of ${runs.length}: ${runs.map((each) => each.toFixed(2)).join(", ")}); ${bindings} budgets bind each call, ${keyCount} keys, ${teamCount} teams, ${scopes} balances\n`);
const figures = process.env["TOLLGATE_FIGURES"];
if (figures !== undefined) appendFileSync(figures, `${JSON.stringify({ proof: "admission", figures: { microseconds: Number(middle.toFixed(2)), bindings, keys: keyCount, teams: teamCount } })}\n`);
if (options.assert !== undefined && middle > Number(options.assert)) {
  process.stderr.write(`admission: more than ${options.assert} µs\n`);
  process.exitCode = 1;
}
