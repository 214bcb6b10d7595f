/** `tollgate route`: where a call would go now, and why; and which targets are left alone. */
import { InvalidArgumentError, type Command } from "commander";
import { adminClient, withConnection, type ConnectionOptions } from "./connection.ts";
import type { CliContext, Output } from "./context.ts";
import { listOf, objectOf, renderJson, textOf, type JsonObject } from "./json.ts";
import { resolveKey } from "./key-reference.ts";
import { renderTable, type Column } from "./text.ts";

interface ExplainOptions extends ConnectionOptions {
  readonly model: string;
  readonly key?: string;
  readonly session?: string;
  readonly tag: readonly string[];
  readonly inputTokens?: string;
  readonly ownLogin?: boolean;
}

/** Adds `route` to the program. */
export function addRouteCommand(program: Command, context: CliContext): void {
  const route = program.command("route").description("Show where calls go, and why.");
  const explain = route
    .command("explain")
    .description("Show where a call would go now: each target with the reason for its place, and the models that would step in. Nothing is sent.")
    .requiredOption("--model <name>", "what the client asks for", notEmpty)
    .option("--key <key>", "whose call: an alias, an id as `keys list` shows it, or the key; absent: one without restrictions", notEmpty)
    .option("--session <id>", "a session of that key, whose prompt cache may be warm somewhere", notEmpty)
    .option("--tag <tag>", "a tag of the call; may be given several times", (tag: string, tags: readonly string[]) => [...tags, tag], [])
    .option("--input-tokens <number>", "length of the prompt", wholeNumber)
    .option("--own-login", "as of a caller who sends a provider's login beside the key, which targets with `credential: client` need");
  withConnection(explain).action(async (options: ExplainOptions) => {
    const client = await adminClient(options, context);
    const query = new URLSearchParams({ model: options.model });
    if (options.key !== undefined) query.set("key", await resolveKey(client, options.key));
    if (options.session !== undefined) query.set("session", options.session);
    if (options.tag.length > 0) query.set("tags", options.tag.join(","));
    if (options.inputTokens !== undefined) query.set("input_tokens", options.inputTokens);
    if (options.ownLogin === true) query.set("own_login", "true");
    const reply = objectOf(await client.call("GET", `/api/v1/route?${query.toString()}`));
    context.output.print(options.json === true ? renderJson(reply) : renderExplanation(reply, context.output));
  });
  const circuits = route.command("circuits").description("Show targets that are left alone, or have failed of late.");
  withConnection(circuits).action(async (options: ConnectionOptions) => {
    const reply = objectOf(await (await adminClient(options, context)).call("GET", "/api/v1/circuits"));
    context.output.print(options.json === true ? renderJson(reply) : renderCircuits(listOf(reply.circuits).map(objectOf), context.output));
  });
}

function notEmpty(text: string): string {
  if (text.trim() === "") throw new InvalidArgumentError("It must not be empty.");
  return text;
}

function wholeNumber(text: string): string {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number of at least 0.");
  return text;
}

function renderExplanation(reply: JsonObject, output: Output): string {
  const model = textOf(reply.model);
  const head = `${textOf(reply.asked)}: ${textOf(reply.understood_as)}${model === "" || model === textOf(reply.asked) ? "" : ` (${model})`}`;
  const refusal = textOf(reply.refusal);
  const targets = listOf(reply.targets).map(objectOf);
  const columns: readonly Column[] = [{ title: "#", align: "right" }, { title: "TARGET" }, { title: "PROVIDER" }, { title: "MODEL" }, { title: "CIRCUIT" }, { title: "WHY" }];
  const rows = targets.map((target) => [textOf(target.place) || "-", textOf(target.id), textOf(target.provider), textOf(target.model), circuitText(target), whyText(target)]);
  const steppingIn = listOf(reply.fallbacks).map(objectOf).map(({ reason, model: name, fault }) => `${textOf(reason)}: ${textOf(name)}${textOf(fault) === "" ? "" : ` (no: ${textOf(fault)})`}`);
  return [
    head,
    ...(refusal === "" ? [] : [output.style("red", refusal)]),
    ...(targets.length === 0 ? [] : [`strategy ${textOf(reply.strategy)}`, "", renderTable(columns, rows, output)]),
    ...(steppingIn.length === 0 ? [] : ["", ...steppingIn]),
  ].join("\n");
}

function circuitText({ circuit, is_parked: isParked, opens_in_seconds: seconds, last_failure: failure }: JsonObject): string {
  const state = stateText(circuit, isParked);
  return state === "closed" ? state : `${state}${textOf(failure) === "" ? "" : ` (${textOf(failure)})`}${textOf(seconds) === "" || textOf(seconds) === "0" ? "" : `, ${textOf(seconds)} s`}`;
}

/** A quota that is waited for is no failure, and people should see which of the two it is. */
function stateText(state: unknown, isParked: unknown): string {
  return isParked === true ? "parked" : textOf(state);
}

function whyText({ priority, reasons, running, first_event_ms: firstEventMs }: JsonObject): string {
  const facts = [`priority ${textOf(priority)}`, ...listOf(reasons).map(textOf), ...(Number(running) > 0 ? [`${textOf(running)} running`] : []), ...(textOf(firstEventMs) === "" ? [] : [`${textOf(firstEventMs)} ms to the first event`])];
  return facts.join("; ");
}

function renderCircuits(circuits: readonly JsonObject[], output: Output): string {
  if (circuits.length === 0) return "Every target is well.";
  const columns: readonly Column[] = [{ title: "TARGET" }, { title: "MODEL" }, { title: "STATE" }, { title: "FAILURES IN A ROW", align: "right" }, { title: "LAST" }, { title: "TRIED AGAIN IN", align: "right" }];
  return renderTable(
    columns,
    circuits.map(({ target, model, state, is_parked: isParked, failures_in_row: failures, last_failure: last, opens_in_seconds: seconds }) => [textOf(target), textOf(model), stateText(state, isParked), textOf(failures), textOf(last), textOf(seconds) === "" ? "" : `${textOf(seconds)} s`]),
    output,
  );
}
