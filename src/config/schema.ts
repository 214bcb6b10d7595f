/**
 * The operator's file, `tollgate.yaml`, with every key's type, default and description. The JSON Schema and the reference
 * page are made from it. A provider's own settings are not here: its folder has them, and `load.ts` is given them.
 */
import { headerNameFault } from "../kernel/header-rules.ts";
import { z } from "zod";
import { budgets } from "./budgets.ts";
import { spending } from "./spending.ts";
import { defaultLimits, defaultTimeouts } from "./gateway-config.ts";
import { rateLimits } from "./rate-limits.ts";
import { choosing, chosen, routing } from "./routing.ts";
import { addressBlock, duration, flag, formatDuration, headerValue, integer, multiplier, outageDuration, prices, retention, size, text } from "./values.ts";
import { weaknessOf } from "./weak-secrets.ts";

const file = text.meta({ title: "path" });
const host = text.refine((value) => /^[A-Za-z0-9._:-]+$/.test(value), "must be an address or a host name, without port or brackets");
const port = (min: number) => integer(min, 65_535);
const timeout = (defaultMs: number, description: string) => duration.prefault(formatDuration(defaultMs)).meta({ title: "duration", description });
const strings = (description: string) => z.array(text, { error: "must be a list" }).default([]).meta({ description });

const webhookUrl = text.refine((value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol) && new URL(value).username === "" && new URL(value).hash === "", "must be an address such as https://hooks.example.com/tollgate, without a user or a fragment");
const strongSecret = text.superRefine((value, context) => {
  const fault = weaknessOf(value);
  if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
});

const tls = z.strictObject({
  cert_file: file.meta({ description: "Certificate chain, PEM. Read again when it changes." }),
  key_file: file.meta({ description: "Private key, PEM." }),
  client_ca_file: file.optional().meta({ description: "Certificate authorities, PEM. With it every client must show a certificate of theirs." }),
});

const listen = z.strictObject({
  host: host.default("127.0.0.1").meta({ description: "Address to listen on." }),
  port: port(0).prefault(4000).meta({ title: "integer", description: "Port to listen on; 0 takes a free one." }),
  tls: tls.optional().meta({ description: "Serve HTTPS. Absent: plain HTTP." }),
  trusted_proxies: z.array(addressBlock, { error: "must be a list" }).default([]).meta({ description: "Addresses or blocks whose `x-forwarded-for` is believed." }),
  public: flag.prefault(false).meta({ title: "boolean", description: "Must be true for a `host` that other machines can reach." }),
});

const egress = z.strictObject({
  proxy: z.string({ error: "must be a string" }).optional().meta({ description: "Proxy for all upstream calls, `http://[user:password@]host:port`. Absent: `HTTPS_PROXY` of the environment. Empty (`\"\"`): none." }),
  no_proxy: z.array(text, { error: "must be a list" }).optional().meta({ description: "Hosts and domain suffixes that are called directly. Absent: `NO_PROXY` of the environment." }),
  ca_file: file.optional().meta({ description: "Certificate authorities trusted besides the usual ones, PEM. `NODE_EXTRA_CA_CERTS` works too." }),
});

const store = z.strictObject({
  path: file.optional().meta({ description: "SQLite file of the ledger. Absent: `tollgate.db` in the data directory." }),
  sync: z
    .enum(["normal", "full"], { error: "must be `normal` or `full`" })
    .default("normal")
    .meta({ description: "`full` forces each commit to the disk; `normal` survives the death of the process but can lose the last commits when the power fails." }),
  usage_retention: retention
    .optional()
    .meta({ title: "duration", description: "How long the ledger keeps each attempt's own row, in days: `90d`, `12w`. Older ones are removed while the gateway serves; their sums by day stay for good. Absent: rows stay for good too." }),
  spill: z
    .strictObject({
      path: file.optional().meta({ description: "The file, of this gateway alone, best on another disk than the store. Absent: `spill.jsonl` in the data directory." }),
      unbudgeted: outageDuration.optional().meta({ title: "duration", description: "How long calls that no budget binds go on while the store cannot be written, at most `10m`. Absent: not at all." }),
    })
    .prefault({})
    .meta({ description: "Where the ledger's entries wait while the store cannot be written, for budgets with `fail_open`." }),
});

const target = z.strictObject({
  id: text.optional().meta({ description: "Name of this target in logs and in `x-litellm-model-id`. Absent: made from its other keys." }),
  provider: text.meta({ description: "Name of an entry of `providers`." }),
  model: text.optional().meta({ description: "The provider's name of the model; `*` takes what the public name's `*` stood for. Absent: the public name." }),
  credential: z
    .enum(["provider", "client"], { error: "must be `provider` or `client`" })
    .default("provider")
    .meta({ description: "`client` relays the caller's own login, to this target and nowhere else." }),
  price_model: text.optional().meta({ description: "Model whose price counts, when the provider's name is not a known one." }),
  prices: prices.optional().meta({ description: "Own prices of this target, US dollars per million tokens." }),
  headers: z
    .record(z.string(), headerValue)
    .superRefine((headers, context) => {
      for (const name of Object.keys(headers)) {
        const fault = headerNameFault(name);
        if (fault !== undefined) context.addIssue({ code: "custom", message: fault, path: [name], params: { isAboutKey: true } });
      }
    })
    .default({})
    .meta({ description: "Headers added to each call; a header of the same name is replaced." }),
  timeouts: z
    .strictObject({
      first_byte_stream: duration.optional().meta({ title: "duration", description: "As in `timeouts`." }),
      first_byte_plain: duration.optional().meta({ title: "duration", description: "As in `timeouts`." }),
      idle: duration.optional().meta({ title: "duration", description: "As in `timeouts`." }),
    })
    .prefault({})
    .meta({ description: "Other limits for this target." }),
  ...chosen,
});

const model = z.strictObject({
  name: text.meta({ description: "Name that clients ask for, or a pattern with one `*`. Exact names win, then the longest pattern." }),
  aliases: strings("Further names of the same model."),
  access_groups: strings("Groups that a key's list of models may name instead of the model."),
  targets: z.array(target, { error: "must be a list" }).min(1, "must hold at least one target").optional().meta({ description: "Places that serve the model, the preferred one first. In place of it, one target's keys may stand in the model itself." }),
  ...choosing,
  ...target.partial({ provider: true }).shape,
});

const timeouts = z.strictObject({
  connect: timeout(defaultTimeouts.connectMs, "To reach an upstream."),
  first_byte_stream: timeout(defaultTimeouts.firstByteStreamMs, "To the first byte of a streamed reply."),
  first_byte_plain: timeout(defaultTimeouts.firstBytePlainMs, "To the first byte of a plain reply."),
  idle: timeout(defaultTimeouts.idleMs, "Between two bytes of a reply."),
  total: timeout(defaultTimeouts.totalMs, "From admission to the last byte."),
  ping: timeout(defaultTimeouts.pingMs, "Silence of a stream after which the gateway sends a ping."),
  request_body: timeout(defaultTimeouts.requestBodyMs, "For a client to send its request."),
  drain: timeout(defaultTimeouts.drainMs, "For running replies to end after SIGTERM."),
});

/** What an entry of `providers` must have; the rest is the provider's own. */
const provider = z.looseObject({ kind: text.meta({ description: "Which provider this is." }) });

/** The whole file. */
export const configSchema = z.strictObject({
  listen: listen.prefault({}).meta({ description: "Where clients reach the gateway." }),
  egress: egress.prefault({}).meta({ description: "How the gateway reaches its upstreams." }),
  store: store.prefault({}).meta({ description: "The ledger." }),
  admin: z
    .strictObject({ key: text.optional().meta({ title: "secret", description: "Key of the management API. Absent: made at the first start and kept in the data directory." }) })
    .prefault({})
    .meta({ description: "Management." }),
  key_header: text
    .superRefine((name, context) => {
      const fault = headerNameFault(name);
      if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
    })
    .optional()
    .meta({ description: "Header that is read first for a developer's key, for instance `Proxy-Authorization`. The usual headers follow." }),
  providers: z
    .record(z.string(), provider)
    .optional()
    .meta({ description: "Upstreams by a name of your choice. When neither providers nor models are given, both are made from the environment." }),
  models: z.array(model, { error: "must be a list" }).optional().meta({ description: "What clients may ask for." }),
  routing: routing.meta({ description: "How failures of places are met." }),
  spending: spending.meta({ description: "Whose money counts where, and what is charged." }),
  budgets: budgets.default([]).meta({ description: "Caps on spend. Every one that a call falls under must have room for it." }),
  webhook: z
    .strictObject({
      url: webhookUrl.meta({ description: "Where messages go, by POST." }),
      secret: strongSecret.meta({ title: "secret", description: "Signs them; at least 16 characters." }),
    })
    .optional()
    .meta({ description: "Told when a budget is spent to one of its `warn_at`, once in each window." }),
  rate_limits: rateLimits.prefault({}).meta({ description: "Limits of rate and concurrency. A call that one of them has no room for is told when there will be." }),
  prices: z
    .strictObject({
      multiplier: multiplier.prefault(1).meta({ title: "factor", description: "Applied to every cost." }),
      overrides: z.record(z.string(), prices).default({}).meta({ description: "Prices by the provider's name of a model; they win over the price book." }),
    })
    .prefault({})
    .meta({ description: "Prices other than the price book's." }),
  limits: z
    .strictObject({
      body_max: size.prefault("32MiB").meta({ title: "size", description: "Largest request body; beyond it 413." }),
      in_flight_max: integer(1, 1_000_000).prefault(defaultLimits.inFlightMax).meta({ title: "integer", description: "Requests in work at once; beyond it 529." }),
      in_flight_per_key_max: integer(1, 1_000_000).optional().meta({ title: "integer", description: "The same of each key, so that one cannot take the place of all. Absent: no bound of its own." }),
    })
    .prefault({})
    .meta({ description: "Bounds of the whole gateway." }),
  timeouts: timeouts.prefault({}).meta({ description: "Limits in time." }),
  logging: z
    .strictObject({
      level: z
        .enum(["trace", "debug", "info", "warn", "error", "silent"], { error: "must be one of trace, debug, info, warn, error, silent" })
        .default("info")
        .meta({ description: "What is written, as JSON lines." }),
      requests: flag.prefault(true).meta({ title: "boolean", description: "One line per request." }),
    })
    .prefault({})
    .meta({ description: "The log." }),
  metrics: z
    .strictObject({
      host: host.default("127.0.0.1").meta({ description: "Address of the metrics listener." }),
      port: port(0).meta({ title: "integer", description: "Its port." }),
    })
    .optional()
    .meta({ description: "A listener of its own for `GET /metrics` without a key. Absent: only with the admin key, on the main port." }),
  forward: z
    .strictObject({ claude_code_headers: flag.prefault(true).meta({ title: "boolean", description: "Send `x-claude-code-*` headers on to upstreams." }) })
    .prefault({})
    .meta({ description: "What else of a request goes upstream." }),
});

/** The file after defaults and conversions. */
export type NativeFile = z.output<typeof configSchema>;
/** One model of it. */
export type NativeModel = NonNullable<NativeFile["models"]>[number];
/** One target of it. */
export type NativeTarget = z.output<typeof target>;

/** Sections that a LiteLLM file may hold under the key `tollgate`, for what LiteLLM has no word for. */
export const extensionSchema = configSchema.pick({ budgets: true, webhook: true, routing: true, spending: true, rate_limits: true, listen: true, egress: true, store: true, limits: true, timeouts: true, logging: true, metrics: true, forward: true });

/** The file after defaults and conversions. */
export type ExtensionFile = z.output<typeof extensionSchema>;
