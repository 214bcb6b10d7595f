/** `tollgate budget`: caps on spend that are set while the gateway runs, and how all of them stand. */
import { InvalidArgumentError, Option, type Command } from "commander";
import { CliError } from "./cli-error.ts";
import { adminClient, withConnection, type ConnectionOptions } from "./connection.ts";
import type { CliContext, Output } from "./context.ts";
import { dollars } from "./key-fields.ts";
import { listOf, objectOf, renderJson, textOf, type JsonObject } from "./json.ts";
import { formatDollars, formatInstant, renderFacts, renderTable } from "./text.ts";

interface SetOptions extends ConnectionOptions {
  readonly id?: string;
  readonly window?: string;
  readonly rolling?: string;
  readonly zone?: string;
  readonly mode?: string;
  readonly onExhausted?: string;
  readonly overrunMax?: number;
  readonly downgrade?: string;
  readonly warnAt?: readonly number[];
  readonly contact?: string;
}

/** Adds `budget` to the program. */
export function addBudgetCommands(program: Command, context: CliContext): void {
  const budget = program.command("budget").description("Set caps on spend, and show how they stand.");
  const set = budget
    .command("set")
    .description("Set a budget, or change the one of the same scope and window.")
    .argument("<scope>", "global, or a kind and an id: team:payments, user:ann, model:claude-opus-5-5, tag:nightly …")
    .argument("<amount>", "US dollars a window; 0 lets nothing through", dollars)
    .option("--id <id>", "a name for it (else made from scope and window)")
    .addOption(new Option("--window <window>", "day, week, month, lifetime, or a span such as 7d (else month)").conflicts("rolling"))
    .option("--rolling <span>", "a window that slides, such as 7d")
    .option("--zone <zone>", "time zone of the window, such as Europe/Paris (else UTC)")
    .addOption(new Option("--mode <mode>", "strict holds the most a call can cost").choices(["incremental", "strict"]))
    .addOption(new Option("--on-exhausted <what>", "running replies when nothing is left").choices(["finish", "cut"]))
    .option("--overrun-max <usd>", "what running replies may take beyond the amount", dollars)
    .option("--downgrade <model>", "model that is served instead when nothing is left")
    .option("--warn-at <percents>", "when to warn, separated by commas", percents)
    .option("--contact <text>", "whom to ask, told with the refusal")
    .addHelpText("after", "\n  tollgate budget set team:payments 4000 --zone Europe/Paris --contact '#llm-platform'\n  tollgate budget set user:ann 20 --rolling 7d\n\nBudgets for each one of a kind (key:*) are set in the configuration file, those of a key with tollgate keys create --max-budget.");
  withConnection(set).action(async (scope: string, amount: number, options: SetOptions) => {
    const reply = objectOf(await (await adminClient(options, context)).call("POST", "/api/v1/budgets", bodyOf(scope, amount, options)));
    context.output.print(options.json === true ? renderJson(reply) : `Budget ${JSON.stringify(textOf(reply.id))} is in force: $${formatDollars(amount)} for ${scope}.`);
  });
  const list = budget.command("list").description("Show every budget: spent, held, left, and when it begins anew.");
  withConnection(list).action(async (options: ConnectionOptions) => {
    const reply = objectOf(await (await adminClient(options, context)).call("GET", "/api/v1/budgets"));
    context.output.print(options.json === true ? renderJson(reply) : renderBudgets(listOf(reply.budgets).map(objectOf), context.output));
  });
  const show = budget.command("show").description("Show the budgets of one scope, or the one with this id.").argument("<scope-or-id>");
  withConnection(show).action(async (wanted: string, options: ConnectionOptions) => {
    const reply = objectOf(await (await adminClient(options, context)).call("GET", "/api/v1/budgets"));
    const found = listOf(reply.budgets).map(objectOf).filter(({ scope, id }) => scope === wanted || id === wanted);
    if (found.length === 0) throw new CliError(`No budget has the scope or id ${JSON.stringify(wanted)}.`, { mend: "See `tollgate budget list`." });
    context.output.print(options.json === true ? renderJson(found) : found.map((each) => renderFacts(factsOf(each), context.output)).join("\n\n"));
  });
  const remove = budget.command("remove").description("End a budget that was set by `budget set`.").argument("<id>");
  withConnection(remove).action(async (id: string, options: ConnectionOptions) => {
    const reply = await (await adminClient(options, context)).call("POST", "/api/v1/budgets/delete", { id });
    context.output.print(options.json === true ? renderJson(reply) : `Budget ${JSON.stringify(id)} is gone.`);
  });
}

function bodyOf(scope: string, amount: number, options: SetOptions): Readonly<Record<string, unknown>> {
  const fields = {
    scope, amount, id: options.id, window: options.window, rolling: options.rolling, zone: options.zone, mode: options.mode, on_exhausted: options.onExhausted,
    overrun_max: options.overrunMax, downgrade: options.downgrade, warn_at: options.warnAt, contact: options.contact,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function percents(text: string): readonly number[] {
  const found = text.split(",").map((part) => Number(part.trim()));
  if (found.some((percent) => !Number.isInteger(percent) || percent < 1 || percent > 100)) throw new InvalidArgumentError("They must be whole numbers from 1 to 100, like 75,95.");
  return found;
}

/** The one that is nearest to its end first, as the gateway gives them. */
export function renderBudgets(budgets: readonly JsonObject[], output: Pick<Output, "style">): string {
  if (budgets.length === 0) return "No budgets.";
  const right = (title: string): { readonly title: string; readonly align: "right" } => ({ title, align: "right" });
  return renderTable(
    [{ title: "SCOPE" }, { title: "WINDOW" }, right("AMOUNT USD"), right("SPENT"), right("HELD"), right("LEFT"), { title: "BEGINS ANEW" }],
    budgets.map((budget) => [
      textOf(budget.scope), textOf(budget.window), ...["amount_usd", "spent_usd", "held_usd", "left_usd"].map((member) => formatDollars(textOf(budget[member]))), formatInstant(textOf(budget.resets_at)) || "never",
    ]),
    output,
  );
}

function factsOf(budget: JsonObject): readonly (readonly [string, string])[] {
  const usd = (member: string): string => `${formatDollars(textOf(budget[member]))} USD`;
  return [
    ["id", textOf(budget.id)], ["scope", textOf(budget.scope)], ["window", textOf(budget.window)], ["amount", usd("amount_usd")], ["spent", usd("spent_usd")], ["of it estimated", usd("estimated_usd")],
    ["of it unresolved", usd("unresolved_usd")], ["held", usd("held_usd")], ["left", usd("left_usd")], ["overrun", usd("overrun_max_usd")], ["mode", textOf(budget.mode)], ["when spent", textOf(budget.on_exhausted)],
    ["begins anew", formatInstant(textOf(budget.resets_at)) || "never"],
  ];
}
