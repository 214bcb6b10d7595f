/** `tollgate keys …`: developer keys of a running gateway, through the admin API in LiteLLM's shapes. */
import { InvalidArgumentError, type Command } from "commander";
import { CliError } from "./cli-error.ts";
import { adminClient, withConnection, type ConnectionOptions } from "./connection.ts";
import type { CliContext, Output } from "./context.ts";
import { listOf, objectOf, renderJson, textOf, type JsonObject } from "./json.ts";
import { listKeys, resolveKey, tokenOf } from "./key-reference.ts";
import { addKeyFields, keyFields, type KeyFieldOptions } from "./key-fields.ts";
import { formatDollars, formatInstant, renderFacts, renderTable, type Column } from "./text.ts";

/** Characters of a hash shown as a key's id; enough to be unique among many millions. */
const idLength = 12;

/** Adds `keys` and its subcommands to the program. */
export function addKeysCommands(program: Command, context: CliContext): void {
  const keys = program.command("keys").description("Create, list, show, change, rotate, block and revoke developer keys.");
  addCreate(keys, context);
  addList(keys, context);
  addShow(keys, context);
  addUpdate(keys, context);
  addRotate(keys, context);
  addRevoke(keys, context);
  addSwitch(keys, context, "block");
  addSwitch(keys, context, "unblock");
}

function addCreate(keys: Command, context: CliContext): void {
  const command = addKeyFields(keys.command("create").description("Make a key and show it, this once."));
  withConnection(command).action(async (options: ConnectionOptions & KeyFieldOptions) => {
    const client = await adminClient(options, context);
    const fields = keyFields(options);
    const reply = objectOf(await client.call("POST", "/key/generate", fields));
    if (options.json === true) context.output.print(renderJson(reply));
    else showNewSecret(reply, "It is shown this once; keep it where its user keeps secrets.", context.output);
  });
}

function addList(keys: Command, context: CliContext): void {
  const command = keys.command("list").description("List all keys.").option("--user <id>", "only this user's").option("--team <id>", "only this team's");
  withConnection(command).action(async (options: ConnectionOptions & { readonly user?: string; readonly team?: string }) => {
    const filter = { ...(options.user === undefined ? {} : { user_id: options.user }), ...(options.team === undefined ? {} : { team_id: options.team }) };
    const found = await listKeys(await adminClient(options, context), filter);
    if (options.json === true) context.output.print(renderJson(found));
    else if (found.length === 0) context.output.print("There are no keys. Make one with `tollgate keys create`.");
    else context.output.print(renderKeyTable(found, context.clock.now(), context.output));
  });
}

function addShow(keys: Command, context: CliContext): void {
  const command = keys.command("show").description("Show everything about one key.").argument("<key>", "alias, id, or the key itself");
  withConnection(command).action(async (reference: string, options: ConnectionOptions) => {
    const client = await adminClient(options, context);
    const hash = await resolveKey(client, reference);
    const reply = objectOf(await client.call("GET", `/key/info?key=${hash}`));
    if (options.json === true) return context.output.print(renderJson(reply));
    context.output.print(renderKey({ token: hash, ...objectOf(reply.info) }, context.clock.now(), context.output));
  });
}

function addUpdate(keys: Command, context: CliContext): void {
  const command = addKeyFields(keys.command("update").description("Change the given fields of a key; the others stay.").argument("<key>", "alias, id, or the key itself"));
  withConnection(command).action(async (reference: string, options: ConnectionOptions & KeyFieldOptions) => {
    const fields = keyFields(options);
    if (Object.keys(fields).length === 0) throw new CliError("Nothing to change was given.", { mend: "See `tollgate keys update --help` for the fields.", exitCode: 2 });
    const client = await adminClient(options, context);
    const hash = await resolveKey(client, reference);
    const reply = objectOf(await client.call("POST", "/key/update", { key: hash, ...fields }));
    context.output.print(options.json === true ? renderJson(reply) : `Key ${hash.slice(0, idLength)} is changed.`);
  });
}

function addRotate(keys: Command, context: CliContext): void {
  const command = keys
    .command("rotate")
    .description("Give a key a new secret; the old one stays valid for the overlap.")
    .argument("<key>", "alias, id, or the key itself")
    .option("--overlap <span>", "how long the old secret stays valid, like 30s, 10m, 24h; 0s ends it at once", overlap, "10m");
  withConnection(command).action(async (reference: string, options: ConnectionOptions & { readonly overlap: string }) => {
    const client = await adminClient(options, context);
    const hash = await resolveKey(client, reference);
    const reply = objectOf(await client.call("POST", "/key/regenerate", { key: hash, grace_period: options.overlap }));
    if (options.json === true) return context.output.print(renderJson(reply));
    showNewSecret(reply, `It is shown this once. The old secret stays valid for ${options.overlap}.`, context.output);
  });
}

function addRevoke(keys: Command, context: CliContext): void {
  const command = keys.command("revoke").description("End keys for good, from their next request on.").argument("<key...>", "aliases, ids, or the keys themselves");
  withConnection(command).action(async (references: string[], options: ConnectionOptions) => {
    const client = await adminClient(options, context);
    // All names are looked up before anything is revoked, so that a slip in the last one leaves the first untouched.
    const hashes: string[] = [];
    for (const reference of references) hashes.push(await resolveKey(client, reference));
    const reply = objectOf(await client.call("POST", "/key/delete", { keys: hashes }));
    if (options.json === true) return context.output.print(renderJson(reply));
    const count = listOf(reply.deleted_keys).length;
    context.output.print(`${count} ${count === 1 ? "key is" : "keys are"} revoked.`);
  });
}

function addSwitch(keys: Command, context: CliContext, verb: "block" | "unblock"): void {
  const description = verb === "block" ? "Refuse a key until it is unblocked." : "Accept a blocked key again.";
  const command = keys.command(verb).description(description).argument("<key>", "alias, id, or the key itself");
  withConnection(command).action(async (reference: string, options: ConnectionOptions) => {
    const client = await adminClient(options, context);
    const hash = await resolveKey(client, reference);
    const reply = await client.call("POST", `/key/${verb}`, { key: hash });
    context.output.print(options.json === true ? renderJson(reply) : `Key ${hash.slice(0, idLength)} is ${verb}ed.`);
  });
}

function overlap(text: string): string {
  if (!/^\d{1,6}[smhd]$/.test(text)) throw new InvalidArgumentError("It must be a number with s, m, h or d behind it, like 10m.");
  return text;
}

function showNewSecret(reply: JsonObject, remark: string, output: Output): void {
  output.print(textOf(reply.key));
  const id = textOf(reply.token_id) || textOf(reply.token);
  output.note(renderFacts([["id", id.slice(0, idLength)], ["alias", textOf(reply.key_alias)], ["expires", formatInstant(textOf(reply.expires))]], { style: (_, text) => text }));
  output.note(remark);
}

const keyColumns: readonly Column[] = [
  { title: "ID" },
  { title: "KEY" },
  { title: "ALIAS" },
  { title: "USER" },
  { title: "TEAM" },
  { title: "MODELS" },
  { title: "SPEND USD", align: "right" },
  { title: "EXPIRES (UTC)" },
  { title: "STATE" },
];

/** One line per key of `/key/list`. */
export function renderKeyTable(keys: readonly JsonObject[], nowMs: number, output: Pick<Output, "style">): string {
  const rows = keys.map((key) => [
    tokenOf(key).slice(0, idLength),
    textOf(key.key_name),
    textOf(key.key_alias) || "-",
    textOf(key.user_id) || "-",
    textOf(key.team_id) || "-",
    listOf(key.models).map(textOf).join(",") || "all",
    formatDollars(textOf(key.spend) || "0"),
    formatInstant(textOf(key.expires)) || "never",
    stateOf(key, nowMs),
  ]);
  return renderTable(keyColumns, rows, output);
}

function stateOf(key: JsonObject, nowMs: number): string {
  if (key.blocked === true) return "blocked";
  const expiresMs = Date.parse(textOf(key.expires));
  return expiresMs <= nowMs ? "expired" : "active";
}

function renderKey(key: JsonObject, nowMs: number, output: Output): string {
  const json = (value: unknown): string => (Object.keys(objectOf(value)).length === 0 ? "" : JSON.stringify(value));
  return renderFacts(
    [
      ["id", tokenOf(key)],
      ["key", textOf(key.key_name)],
      ["alias", textOf(key.key_alias)],
      ["state", stateOf(key, nowMs)],
      ["user", textOf(key.user_id)],
      ["team", textOf(key.team_id)],
      ["organization", textOf(key.organization_id)],
      ["models", listOf(key.models).map(textOf).join(", ") || "all"],
      ["model aliases", json(key.aliases)],
      ["spend", `${formatDollars(textOf(key.spend) || "0")} USD`],
      ["budget", amountOf(key.max_budget, textOf(key.budget_duration))],
      ...listOf(key.budget_limits).map((cap): readonly [string, string] => ["and", capText(cap)]),
      ...Object.entries(objectOf(key.model_max_budget)).map(([model, cap]): readonly [string, string] => [`for ${model}`, capText(cap)]),
      ["told at", amountOf(key.soft_budget, textOf(key.budget_duration))],
      ["budget of a run", amountOf(key.run_budget_usd, "")],
      ["shared budget", textOf(key.budget_id)],
      ...sharedFacts(objectOf(key.litellm_budget_table)),
      ["requests/minute", textOf(key.rpm_limit)],
      ["tokens/minute", textOf(key.tpm_limit)],
      ["requests at once", textOf(key.max_parallel_requests)],
      ["tags", listOf(key.tags).map(textOf).join(", ")],
      ["metadata", json(key.metadata)],
      ["expires", formatInstant(textOf(key.expires)) || "never"],
      ["created", formatInstant(textOf(key.created_at))],
    ],
    output,
  );
}

/** Where the key has none of its own. */
function sharedFacts(shared: JsonObject): readonly (readonly [string, string])[] {
  return [
    ["  its budget", amountOf(shared.max_budget, textOf(shared.budget_duration))],
    ["  told at", amountOf(shared.soft_budget, textOf(shared.budget_duration))],
    ["  requests/minute", textOf(shared.rpm_limit)],
    ["  tokens/minute", textOf(shared.tpm_limit)],
    ["  requests at once", textOf(shared.max_parallel_requests)],
  ];
}

function capText(cap: unknown): string {
  const { max_budget: amount, budget_duration: duration } = objectOf(cap);
  return amountOf(amount, textOf(duration));
}

/** Empty for none. */
function amountOf(dollars: unknown, duration: string): string {
  const amount = textOf(dollars);
  return amount === "" ? "" : `${formatDollars(amount)} USD${duration === "" ? "" : ` per ${duration}`}`;
}
