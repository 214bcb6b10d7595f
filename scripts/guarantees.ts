/**
 * What Tollgate promises about money, and about living on where its callers would pay for it, each promise with the command that proves it and the words for its figures. `docs/guarantees.md`
 * is made from this list and from `docs/guarantees.json`, which `scripts/proof.ts` writes; so no figure stands without its command.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Numbers of one proof, by name. */
export type Figures = Readonly<Record<string, number>>;

/** Figures of all proofs, by the name under which their tests leave them. */
export type AllFigures = Readonly<Record<string, Figures>>;

export interface Promised {
  readonly promise: string;
  /** Names of its figures. */
  readonly proofs: readonly string[];
  /** Of {@link commands}. */
  readonly command: string;
  /** The figures in words. */
  readonly measured: (figures: AllFigures) => string;
}

/** By name: what to run, and with which settings. Files are run by vitest, unless they are of the benchmark. */
export const commands: Readonly<Record<string, { readonly env: Readonly<Record<string, string>>; readonly file: string; readonly arguments?: readonly string[] }>> = {
  simulation: { env: { TOLLGATE_SEEDS: "10000" }, file: "test/simulation/simulation.test.ts" },
  special: { env: { TOLLGATE_BURSTS: "200", TOLLGATE_GROUPS: "10" }, file: "test/simulation/special.test.ts" },
  burst: { env: {}, file: "test/e2e/burst.test.ts" },
  storm: { env: { TOLLGATE_STORM: "10000", TOLLGATE_CUT_STEP: "1" }, file: "test/e2e/storm.test.ts" },
  kills: { env: { TOLLGATE_KILLS: "200" }, file: "test/e2e/kill.test.ts" },
  admission: { env: {}, file: "bench/admission.ts", arguments: ["--assert", "15"] },
  affinity: { env: { TOLLGATE_AFFINITY_SEEDS: "50" }, file: "test/simulation/affinity.test.ts" },
  usage: { env: {}, file: "bench/usage.ts", arguments: ["--assert", "200", "--assert-ratio", "1.1"] },
};

/** As one types it. */
export function commandLine(name: string): string {
  const { env, file, arguments: more = [] } = commands[name]!;
  const settings = Object.entries(env).map(([key, value]) => `${key}=${value} `).join("");
  return file.startsWith("bench/") ? `${settings}node ${[file, ...more].join(" ")}` : `${settings}npm run test:unit -- ${file}`;
}

const count = (value: number | undefined): string => (value ?? 0).toLocaleString("en-US");
const dollars = (value: number | undefined): string => `$${(value ?? 0).toFixed(2)}`;

export const promises: readonly Promised[] = [
  {
    promise: "Whatever clients, providers, networks, disks, clocks and operators do, and wherever the process dies: every billed attempt has exactly one row; a budget's window never comes to more than its amount and its overrun; nobody is refused while there is room by the rule below; nothing stays held; the rows alone, in any order, make the same balances again.",
    proofs: ["simulation"],
    command: "simulation",
    measured: ({ simulation: { worlds, calls, attempts, refusals, deaths, cuts } = {} }) => `${count(worlds)} simulated worlds with ${count(calls)} calls, ${count(attempts)} attempts, ${count(refusals)} refusals, ${count(cuts)} replies cut by a budget and ${count(deaths)} deaths of the process: 0 differences`,
  },
  {
    promise: "The process may die before or after any commit.",
    proofs: ["every-commit"],
    command: "simulation",
    measured: ({ "every-commit": { deaths } = {} }) => `${count(deaths)} deaths, one before and one after each commit of two worlds: 0 differences`,
  },
  {
    promise: "`strict`: a budget never comes to more than its amount, at any concurrency.",
    proofs: ["burst-strict", "burst-http"],
    command: "special",
    measured: ({ "burst-strict": { worlds, calls, admittedMost, billedMostPercent } = {} }) => `${count(calls)} calls at once upon a budget of 10.5 calls, ${count(worlds)} times: ${admittedMost} let through each time, the provider's bill at most ${billedMostPercent} % of the amount`,
  },
  {
    promise: "The same through the listener, by the bill of a provider that shares no code with Tollgate.",
    proofs: ["burst-http"],
    command: "burst",
    measured: ({ "burst-http": { calls, served, billedPercent } = {} }) => `of ${count(calls)} calls ${served} let through; bill ${billedPercent} % of the amount`,
  },
  {
    promise: "`incremental`: a budget never comes to more than its amount and `overrun_max`, as long as calls are what they are estimated to be (see below).",
    proofs: ["burst-incremental"],
    command: "special",
    measured: ({ "burst-incremental": { worlds, calls, cuts, overAmountMostUsd, overrunMaxUsd } = {} }) => `${count(calls)} calls at once upon $1, with replies of up to 32,000 tokens, ${count(worlds)} times: ${count(cuts)} replies cut, at most ${dollars(overAmountMostUsd)} beyond the amount, of ${dollars(overrunMaxUsd)} allowed`,
  },
  {
    promise: "Callers who make their calls unlike every estimate get beyond that by their own calls' excess only, and under `strict` by nothing.",
    proofs: ["adverse"],
    command: "special",
    measured: ({ adverse: { worlds, incrementalBeyondOverrunMostUsd, strictBeyondAmountUsd } = {} }) => `${count(worlds)} worlds with a token for every one or two bytes of prompt and up to 20,000 hidden tokens in a reply: at most ${dollars(incrementalBeyondOverrunMostUsd)} beyond the overrun under \`incremental\`, ${dollars(strictBeyondAmountUsd)} beyond the amount under \`strict\``,
  },
  {
    promise: "A budget can be used up: agents do not starve on room that is held and never needed.",
    proofs: ["agents"],
    command: "special",
    measured: ({ agents: { worlds, usedLeastPercent, usedAtRefusalLeastPercent } = {} }) => `20 agents with turns of 60,000 tokens (97 % from the cache) on $20, ${count(worlds)} times: no refusal before ${usedAtRefusalLeastPercent} % was spent or held, at least ${usedLeastPercent} % spent in the end`,
  },
  {
    promise: "Clients that leave and upstreams that stall, fail and break off leave nothing behind: nothing held, nothing in work, no slot taken, rows one to one with the bill.",
    proofs: ["storm"],
    command: "storm",
    measured: ({ storm: { calls, rows, bills, restMs } = {} }) => `${count(calls)} calls, ${count(rows)} attempts, ${count(bills)} bills: 0 differences; nothing held ${count(restMs)} ms after the last`,
  },
  {
    promise: "A stream that is cut has one entry, wherever it is cut.",
    proofs: ["every-byte"],
    command: "storm",
    measured: ({ "every-byte": { cuts, rows } = {} }) => `${count(cuts)} cuts, one at each byte: ${count(rows)} entries`,
  },
  {
    promise: "`kill -9` loses no bill and invents none; what nobody knows is `unresolved`, counts at what was held for it, and budgets show just that after the next start.",
    proofs: ["kills"],
    command: "kills",
    measured: ({ kills: { kills, rows, bills, unresolved, readyMedianMs } = {} }) => `${count(kills)} kills under load, ${count(rows)} rows, ${count(bills)} bills, ${count(unresolved)} unresolved: 0 differences; ready again after ${count(readyMedianMs)} ms (median)`,
  },
  {
    promise: "Looking for room costs next to nothing.",
    proofs: ["admission"],
    command: "admission",
    measured: ({ admission: { microseconds, bindings, keys, teams } = {} }) => `${microseconds} µs of CPU for a call that ${bindings} budgets bind, with ${count(keys)} keys in ${count(teams)} teams (median of 5)`,
  },
  {
    promise: "Sessions keep their prompt caches although there are several targets and one of them fails for a while: within 5 % of what one target that never fails would cost.",
    proofs: ["affinity-5", "affinity-60"],
    command: "affinity",
    measured: ({ "affinity-5": short = {}, "affinity-60": long = {} }) => `${count(short.worlds)} worlds of 20 developers with 8 subagents each and ${count(short.calls)} calls, three targets: ${short.tollgateMorePercent} % more with caches of five minutes, ${long.tollgateMorePercent} % with those of an hour, at the worst ${Math.max(short.worstPercent ?? 0, long.worstPercent ?? 0)} % (targets at random: ${short.randomMorePercent} % and ${long.randomMorePercent} %)`,
  },
  {
    promise: "A long ledger is read at once, and its old rows are removed without anybody's noticing.",
    proofs: ["usage"],
    command: "usage",
    measured: ({ usage: { rows, dayMs, teamMs, modelMs, slowestMs, admissionRatio, entriesRatio } = {} }) => `${count(rows)} rows and a year of sums: by day in ${dayMs} ms, by team in ${teamMs} ms, by model in ${modelMs} ms, the slowest of them over 30 days to the minute or a year ${slowestMs} ms (medians of 5); while rows are removed admission takes ${admissionRatio} times its CPU, opening and closing ${entriesRatio} times`,
  },
];

const path = join(import.meta.dirname, "..", "docs", "guarantees.json");

export function readFigures(): AllFigures {
  return JSON.parse(readFileSync(path, "utf8")) as AllFigures;
}

/** The table between the page's markers. */
export function guaranteesTable(figures: AllFigures): string {
  const rows = promises.map(({ promise, command, measured }) => `| ${promise} | ${measured(figures)} | \`${commandLine(command)}\` |`);
  return ["| Promise | Measured | Again with |", "|---|---|---|", ...rows].join("\n");
}

/** What ways of choosing a target cost, for docs/routing.md. */
export function affinityTable({ "affinity-5": figures = {} }: AllFigures): string {
  const rows = [["single", "one target that never fails"], ["tollgate", "Tollgate"], ["sticky", "by the session's id alone"], ["random", "at random"]] as const;
  return [
    "| Target chosen | Cost a world | More | Input read from caches | Calls sent to the target that failed |",
    "|---|--:|--:|--:|--:|",
    ...rows.map(([way, title]) => `| ${title} | ${dollars(figures[`${way}Usd`])} | ${figures[`${way}MorePercent`] ?? 0} % | ${figures[`${way}ReadPercent`] ?? 0} % | ${count(figures[`${way}Failovers`])} |`),
  ].join("\n");
}

export const affinityStart = "<!-- affinity: written by `npm run proof -- affinity` -->";
export const affinityEnd = "<!-- end of affinity -->";

export const tableStart = "<!-- figures: written by `npm run proof` -->";
export const tableEnd = "<!-- end of figures -->";

/** docs/guarantees.md with its table made anew. */
export function withTable(page: string, figures: AllFigures): string {
  return between(page, [tableStart, tableEnd], guaranteesTable(figures));
}

/** docs/routing.md with its table made anew. */
export function withAffinityTable(page: string, figures: AllFigures): string {
  return between(page, [affinityStart, affinityEnd], affinityTable(figures));
}

function between(page: string, [start, end]: readonly [string, string], table: string): string {
  const from = page.indexOf(start) + start.length;
  const to = page.indexOf(end);
  if (to < from) throw new Error(`a page has lost its marker ${start}`);
  return `${page.slice(0, from)}\n\n${table}\n\n${page.slice(to)}`;
}
