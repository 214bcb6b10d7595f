/** The flags that describe a key, and what they become in a request to `/key/generate` and `/key/update`. */
import { InvalidArgumentError, type Command } from "commander";
import { parseUsd } from "../kernel/money.ts";

/** What takes a value off a key. A word, since the parser of the command line has no use for null. */
const none = "none";
type None = typeof none;

/** Values of the flags, each checked. */
export interface KeyFieldOptions {
  readonly alias?: string;
  readonly user?: string;
  readonly team?: string;
  readonly organization?: string;
  readonly models?: readonly string[];
  readonly modelAlias?: Readonly<Record<string, string>>;
  readonly duration?: string;
  readonly maxBudget?: number | None;
  readonly budgetDuration?: string;
  readonly softBudget?: number | None;
  readonly budgetId?: string;
  readonly runBudget?: number | None;
  readonly projects?: readonly string[];
  readonly rpm?: number | None;
  readonly tpm?: number | None;
  readonly maxParallel?: number | None;
  readonly modelRpm?: Readonly<Record<string, number>>;
  readonly modelTpm?: Readonly<Record<string, number>>;
  readonly tags?: readonly string[];
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Adds the flags, with a word about `none` to the help. */
export function addKeyFields(command: Command): Command {
  return command
    .addHelpText("after", "\nnone in place of an amount, a count, a span or --budget-id takes it off the key.")
    .option("--alias <name>", "a name for it, unique")
    .option("--user <id>", "whose it is")
    .option("--team <id>", "the team it is billed to")
    .option("--organization <id>", "the organization it is billed to")
    .option("--models <names>", "models it may use, separated by commas; * as a wildcard; without it: all", commaList)
    .option("--model-alias <from=to>", "a name this key may ask for, and the model it gets; may be repeated", modelAlias)
    .option("--duration <span>", "its lifetime, like 12h, 30d, 1mo; without it: no end", orNone(span))
    .option("--max-budget <usd>", "a spending cap in US dollars", orNone(dollars))
    .option("--budget-duration <span>", "after how long the cap starts afresh, like 1d, 30d, 1mo", orNone(span))
    .option("--soft-budget <usd>", "US dollars at which you are told, once per --budget-duration; nothing is refused", orNone(dollars))
    .option("--budget-id <id>", "a budget of /budget/new, from which it has the caps and limits that it has none of its own for", orNone(nameText))
    .option("--projects <names>", "projects it may spend for, separated by commas; without it: all", commaList)
    .option("--run-budget <usd>", "a spending cap for each run, that is for each session id", orNone(dollars))
    .option("--rpm <count>", "requests a minute", orNone(positiveInteger))
    .option("--tpm <count>", "tokens a minute", orNone(positiveInteger))
    .option("--max-parallel <count>", "requests at once", orNone(positiveInteger))
    .option("--model-rpm <model=count>", "requests a minute of one model; may be repeated", modelCount)
    .option("--model-tpm <model=count>", "tokens a minute of one model; may be repeated", modelCount)
    .option("--tags <names>", "labels for reports, separated by commas", commaList)
    .option("--metadata <json>", "a JSON object to keep with it", jsonObject);
}

/** Members of the request body; a flag that was not given has none. */
export function keyFields(options: KeyFieldOptions): Readonly<Record<string, unknown>> {
  const fields: Record<string, unknown> = {
    key_alias: options.alias,
    user_id: options.user,
    team_id: options.team,
    organization_id: options.organization,
    models: options.models,
    aliases: options.modelAlias,
    duration: sent(options.duration),
    max_budget: sent(options.maxBudget),
    budget_duration: sent(options.budgetDuration),
    soft_budget: sent(options.softBudget),
    budget_id: sent(options.budgetId),
    run_budget_usd: sent(options.runBudget),
    allowed_projects: options.projects,
    rpm_limit: sent(options.rpm),
    tpm_limit: sent(options.tpm),
    max_parallel_requests: sent(options.maxParallel),
    model_rpm_limit: options.modelRpm,
    model_tpm_limit: options.modelTpm,
    tags: options.tags,
    metadata: options.metadata,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** The flag's own reading, or the word that takes a value off. */
function orNone<Value>(read: (text: string) => Value): (text: string) => Value | None {
  return (text) => (text === none ? none : read(text));
}

/** As the gateway takes it: null for what is taken off. */
function sent<Value>(value: Value): Exclude<Value, None> | null {
  return value === none ? null : (value as Exclude<Value, None>);
}

function nameText(text: string): string {
  if (text.trim() === "") throw new InvalidArgumentError("It must not be empty.");
  return text.trim();
}

/** Parts between commas, trimmed, empty ones left out. */
export function commaList(text: string): readonly string[] {
  const parts = text.split(",").map((part) => part.trim());
  const list = parts.filter((part) => part !== "");
  if (list.length === 0) throw new InvalidArgumentError("It must name at least one.");
  return list;
}

function modelAlias(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const [from = "", to = "", ...rest] = text.split("=").map((part) => part.trim());
  if (from === "" || to === "" || rest.length > 0) throw new InvalidArgumentError("It must be two names with = between them.");
  return { ...before, [from]: to };
}

function modelCount(text: string, before: Readonly<Record<string, number>> = {}): Readonly<Record<string, number>> {
  const [, model = "", count = ""] = /^(.+)=(.+)$/.exec(text.trim()) ?? [];
  if (model === "") throw new InvalidArgumentError("It must be a model and a number with = between them.");
  return { ...before, [model.trim()]: positiveInteger(count.trim()) };
}

/** A span in LiteLLM's spelling, passed on as written. */
function span(text: string): string {
  if (!/^[1-9]\d{0,6}(s|m|h|d|mo)$/.test(text)) throw new InvalidArgumentError("It must be a number with s, m, h, d or mo behind it, like 30d.");
  return text;
}

export function dollars(text: string): number {
  const amount = parseUsd(text);
  if (amount === undefined || amount < 0n) throw new InvalidArgumentError("It must be an amount in dollars, like 25 or 12.50.");
  return Number(text);
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!/^\d{1,15}$/.test(text) || value === 0) throw new InvalidArgumentError("It must be a whole number above 0.");
  return value;
}

function jsonObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidArgumentError('It must be JSON, like {"cost_center":"42"}.');
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new InvalidArgumentError('It must be a JSON object, like {"cost_center":"42"}.');
  return value as Readonly<Record<string, unknown>>;
}
