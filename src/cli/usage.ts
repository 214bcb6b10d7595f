/** `tollgate usage`: spend from the ledger, by any dimension, through the admin API. */
import { Option, type Command } from "commander";
import { formatUsd, nanoUsd, parseUsd } from "../kernel/money.ts";
import { usageError } from "./cli-error.ts";
import { adminClient, withConnection, type ConnectionOptions } from "./connection.ts";
import type { CliContext, Output } from "./context.ts";
import { listOf, numberOf, objectOf, renderJson, textOf, type JsonObject } from "./json.ts";
import { formatCount, formatDollars, formatInstant, renderCsv, renderTable, type Column } from "./text.ts";

/** What spend can be grouped by. */
export const usageDimensions = ["key", "user", "team", "model", "day", "session", "agent", "project", "provider", "tag"] as const;

interface UsageOptions extends ConnectionOptions {
  readonly by: (typeof usageDimensions)[number];
  readonly since?: string;
  readonly until?: string;
  readonly csv?: boolean;
}

/** Members of a group that are counts, in the order of the table and the CSV. */
const countMembers = ["attempts", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens"] as const;
/** Members that are money, as decimal dollars. */
const moneyMembers = ["cost_usd", "charge_usd", "reported_usd", "estimated_usd", "adjusted_usd", "wasted_usd", "notional_usd", "unresolved_usd"] as const;
/** What prompt caches should have been read for, and what lost reads come to. */
const cacheMembers = ["expected_cache_read_tokens", "lost_cache_read_tokens", "cache_misses", "moved_cache_misses"] as const;
/** Counts of attempts whose cost is not the whole truth. */
const doubtMembers = ["unresolved_attempts", "unpriced_attempts"] as const;

/** Adds `usage` to the program. */
export function addUsageCommand(program: Command, context: CliContext): void {
  const command = program
    .command("usage")
    .description("Show spend by key, user, team, model, day, session, agent (as a tree below developers and sessions), project, provider or tag.")
    .addOption(new Option("--by <dimension>", "what to group by").choices(usageDimensions).default("key"))
    .option("--since <when>", "from here on: 7d, 24h, 30m, a date (UTC) or an ISO time", "30d")
    .option("--until <when>", "up to here, not included; written like --since")
    .addOption(new Option("--csv", "print CSV").conflicts("json"));
  withConnection(command).action(async (options: UsageOptions) => {
    const nowMs = context.clock.now();
    const period = periodOf(options, nowMs);
    const query = usageQuery(options, period);
    const reply = objectOf(await (await adminClient(options, context)).call("GET", `/api/v1/usage?${query.toString()}`));
    if (options.json === true) context.output.print(renderJson(reply));
    else if (options.csv === true) {
      context.output.print(renderUsageCsv(reply, options.by));
      for (const note of listOf(reply.notes)) context.output.note(textOf(note));
    }
    else context.output.print(renderUsageTable(reply, options.by, context.output, { sinceMs: instantOr(reply.since, period.sinceMs), untilMs: instantOr(reply.until, period.untilMs) ?? nowMs }));
  });
}

/** The gateway's own word, which is that of whole days where it keeps no others. */
function instantOr(value: unknown, otherwise: number | undefined): number | undefined {
  const ms = Date.parse(textOf(value));
  return Number.isNaN(ms) ? otherwise : ms;
}

/** Milliseconds since the epoch; an absent end is open. */
interface Period {
  readonly sinceMs: number | undefined;
  readonly untilMs: number | undefined;
}

function periodOf(options: Pick<UsageOptions, "since" | "until">, nowMs: number): Period {
  const sinceMs = options.since === undefined ? undefined : parseInstant(options.since, "--since", nowMs);
  const untilMs = options.until === undefined ? undefined : parseInstant(options.until, "--until", nowMs);
  if (sinceMs !== undefined && untilMs !== undefined && sinceMs >= untilMs) throw usageError("--since must be before --until.");
  return { sinceMs, untilMs };
}

/** Query of the usage endpoint; times as ISO 8601 in UTC. */
function usageQuery(options: Pick<UsageOptions, "by">, { sinceMs, untilMs }: Period): URLSearchParams {
  // Agents are of little use without the session and the developer they worked for.
  const query = new URLSearchParams({ by: options.by === "agent" ? "path" : options.by });
  if (sinceMs !== undefined) query.set("since", new Date(sinceMs).toISOString());
  if (untilMs !== undefined) query.set("until", new Date(untilMs).toISOString());
  return query;
}

const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/**
 * @param text `30m`, `24h`, `7d`, `4w` (that long ago), `2026-01-31` (its beginning in UTC), or an ISO time
 * @param flag named in the error
 * @returns milliseconds since the epoch
 * @throws CliError (exit 2)
 */
export function parseInstant(text: string, flag: string, nowMs: number): number {
  const ago = /^(\d{1,6})([mhdw])$/.exec(text);
  if (ago !== null) return nowMs - Number(ago[1]) * unitMs[ago[2]!]!;
  const isIso = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/.test(text);
  // A time without a zone would be read in the machine's own; the ledger's days are UTC, so this is too.
  const ms = isIso ? Date.parse(/T/.test(text) && !/(Z|[+-]\d{2}:\d{2})$/.test(text) ? `${text}Z` : text) : Number.NaN;
  if (Number.isNaN(ms)) throw usageError(`${flag} is neither a span nor a date: ${JSON.stringify(text)}.`, "Write 7d, 24h, 2026-01-31 or 2026-01-31T14:00Z.");
  return ms;
}

/**
 * The period, one line per group and one for all of them, and remarks on what the gateway cannot tell and where some of it was simulated; the columns of doubtful
 * attempts only where there are any.
 */
export function renderUsageTable(reply: JsonObject, dimension: string, output: Pick<Output, "style">, period?: Period): string {
  const groups = listOf(reply.groups).map(objectOf);
  const simulated = numberOf(reply.simulated_attempts);
  return [
    ...(period === undefined ? [] : [describePeriod(period)]),
    groups.length === 0 ? "No usage." : renderGroups(reply, dimension === "agent" ? treeOf(groups) : groups, dimension, output),
    ...missesOf(totalOf(reply, groups)),
    ...(dimension === "tag" && groups.length > 1 ? ["An attempt with several tags stands under each of them; the total has it once."] : []),
    ...listOf(reply.notes).map(textOf),
    ...(simulated === 0 ? [] : [`The built-in demo answered ${formatCount(simulated)} attempt${simulated === 1 ? "" : "s"}; it is a simulation and costs nothing.`]),
  ].join("\n");
}

/** One sentence where there are any. */
function missesOf(total: JsonObject): readonly string[] {
  const [misses, moved] = [numberOf(total.cache_misses), numberOf(total.moved_cache_misses)];
  if (misses === 0) return [];
  const where = moved === 0 ? "" : ` (${formatCount(moved)} of them at another target than the call before)`;
  return [`${formatCount(misses)} attempt${misses === 1 ? "" : "s"}${where} read less than half of what the session's prompt cache should have given, and cost $${formatDollars(textOf(total.cache_miss_usd))} more for it.`];
}

function describePeriod({ sinceMs, untilMs }: Period): string {
  const [from, to] = [sinceMs, untilMs].map((ms) => (ms === undefined ? undefined : formatInstant(new Date(ms).toISOString())));
  return `${from === undefined ? "Up" : `From ${from}`} to ${to ?? "now"} (UTC).`;
}

/** Sums that most ledgers do not need, each with the condition under which it is shown; without one, where it is not 0. */
const optionalSums: readonly { readonly member: (typeof moneyMembers)[number]; readonly title: string; readonly isShown?: (group: JsonObject) => boolean }[] = [
  { member: "estimated_usd", title: "OF IT ESTIMATED" },
  { member: "adjusted_usd", title: "BY ADJUSTMENTS" },
  { member: "wasted_usd", title: "OF IT WASTED" },
  { member: "cost_usd", title: "PROVIDERS' BILL", isShown: (group) => textOf(group.cost_usd) !== textOf(group.charge_usd) },
  { member: "notional_usd", title: "NOTIONAL" },
  { member: "unresolved_usd", title: "HELD FOR UNRESOLVED" },
];

function renderGroups(reply: JsonObject, groups: readonly JsonObject[], dimension: string, output: Pick<Output, "style">): string {
  const total = totalOf(reply, groups);
  const doubts = doubtMembers.filter((member) => numberOf(total[member]) > 0);
  const has = (isShown: (group: JsonObject) => boolean): boolean => [...groups, total].some(isShown);
  const sums = optionalSums.filter(({ member, isShown }) => has(isShown ?? ((group) => Number(textOf(group[member])) !== 0)));
  const hasMisses = has((group) => numberOf(group.cache_misses) > 0);
  const columns: Column[] = [
    { title: dimension.toUpperCase() },
    ...["ATTEMPTS", "INPUT", "CACHE READ", "WRITE 5M", "WRITE 1H", "OUTPUT", "COST USD"].map((title): Column => ({ title, align: "right" })),
    ...sums.map(({ title }): Column => ({ title, align: "right" })),
    ...(hasMisses ? ["EXPECTED READ", "MISSES", "COST OF MISSES"] : []).map((title): Column => ({ title, align: "right" })),
    ...doubts.map((member): Column => ({ title: member === "unresolved_attempts" ? "UNRESOLVED" : "UNPRICED", align: "right" })),
  ];
  const line = (group: JsonObject, name: string): string[] => [
    name,
    ...countMembers.map((member) => formatCount(numberOf(group[member]))),
    formatDollars(textOf(group.charge_usd)),
    ...sums.map(({ member }) => formatDollars(textOf(group[member]))),
    ...(hasMisses ? [formatCount(numberOf(group.expected_cache_read_tokens)), formatCount(numberOf(group.cache_misses)), formatDollars(textOf(group.cache_miss_usd))] : []),
    ...doubts.map((member) => formatCount(numberOf(group[member]))),
  ];
  const rows = groups.map((group) => line(group, groupName(group)));
  if (groups.length > 1) rows.push(line(total, "total"));
  return renderTable(columns, rows, output);
}

/** A header line and one line per group, numbers unformatted. */
export function renderUsageCsv(reply: JsonObject, dimension: string): string {
  const groups = listOf(reply.groups).map(objectOf);
  const header = [...(dimension === "agent" ? pathNames : [dimension, "label"]), ...countMembers, ...moneyMembers, ...doubtMembers, ...cacheMembers, "cache_miss_usd"];
  return renderCsv(
    header,
    groups.map((group) => [
      ...(dimension === "agent" ? pathOf(group) : [textOf(group.value), textOf(group.label)]),
      ...countMembers.map((member) => numberOf(group[member])),
      ...moneyMembers.map((member) => textOf(group[member])),
      ...[...doubtMembers, ...cacheMembers].map((member) => numberOf(group[member])),
      textOf(group.cache_miss_usd),
    ]),
  );
}

const pathNames = ["developer", "session", "agent"] as const;

/** Names of a developer, a session and an agent; empty where there is none. */
function pathOf(group: JsonObject): readonly [string, string, string] {
  const [developer, session, agent] = listOf(parseOrNull(textOf(group.label))).map(textOf);
  return [developer ?? "", session ?? "", agent ?? ""];
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** Developers with their sessions below them and the agents of these below them; each line has all that is below it, the dearest first. */
function treeOf(groups: readonly JsonObject[]): readonly JsonObject[] {
  const lines: JsonObject[] = [];
  const add = (members: readonly JsonObject[], level: number): void => {
    const byName = [...Map.groupBy(members, (group) => pathOf(group)[level] ?? "")].map(([name, below]) => ({ name, below, sums: sumsOf(below) }));
    byName.sort((a, b) => Number(textOf(b.sums.charge_usd)) - Number(textOf(a.sums.charge_usd)) || (a.name < b.name ? -1 : 1));
    for (const { name, below, sums } of byName) {
      // The main loop of a session is no agent, and most sessions have nothing else.
      if (level === 2 && name === "" && byName.length === 1) continue;
      lines.push({ ...sums, value: `${"  ".repeat(level)}${name === "" ? (level === 2 ? "(main loop)" : "(unattributed)") : name}` });
      if (level < 2) add(below, level + 1);
    }
  };
  add(groups, 0);
  return lines;
}

function groupName(group: JsonObject): string {
  const value = textOf(group.value);
  const label = textOf(group.label);
  if (label !== "" && label !== value) return label;
  return value === "" ? "(unattributed)" : value;
}

/** The gateway's own total; where it gives none, the sum of the groups. */
function totalOf(reply: JsonObject, groups: readonly JsonObject[]): JsonObject {
  const given = objectOf(reply.total);
  return Object.keys(given).length > 0 ? given : sumsOf(groups);
}

function sumsOf(groups: readonly JsonObject[]): JsonObject {
  const counts = [...countMembers, ...doubtMembers, ...cacheMembers].map((member) => [member, groups.reduce((sum, group) => sum + numberOf(group[member]), 0)] as const);
  const money = [...moneyMembers, "cache_miss_usd" as const].map((member) => {
    const sum = groups.reduce((amount, group) => amount + (parseUsd(textOf(group[member])) ?? 0n), 0n);
    return [member, formatUsd(nanoUsd(sum))] as const;
  });
  return Object.fromEntries<unknown>([...counts, ...money]);
}
