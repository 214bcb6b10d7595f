/**
 * One gateway with its upstreams, in which cells run one after the other: a faulty Anthropic and a faulty Bedrock behind TCP fault proxies,
 * and a second Anthropic. Every cell has a model, and so targets and circuits, of its own; there is one slot in all and one at each target,
 * so that one which stays taken refuses the next call.
 */
import { startFaultProxy, type FaultProxy } from "../support/fault-proxy.ts";
import { adminKey, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";
import { faultOf } from "./cells.ts";
import { isCloudMode, modes, type Cell, type Mode } from "./axes.ts";
import { model } from "./answer.ts";
import { startFaultyAnthropic, startFaultyBedrock, type FaultyPlace } from "./faulty-places.ts";

export const secondKey = "sk-ant-second-canary-000000000000000000";
export const bedrockKey = "bedrock-login-canary-0123456789";

/** Long enough for a healthy reply on a busy machine, short enough for thousands of silences. */
export const silenceMs = 1_000;
const totalMs = 6_000;

export interface Lane {
  readonly harness: Harness;
  readonly key: string;
  readonly anthropic: FaultyPlace;
  readonly bedrock: FaultyPlace;
  readonly second: FaultyPlace;
  proxyOf(mode: Mode): FaultProxy;
  placeOf(mode: Mode): FaultyPlace;
  rows(session: string): Promise<readonly Record<string, unknown>[]>;
  /** Nothing in work and nothing held. */
  isAtRest(): Promise<boolean>;
  close(): Promise<readonly string[]>;
}

/** @param cells that will run here, by their number */
export async function startLane(cells: ReadonlyMap<number, Cell>): Promise<Lane> {
  const forbidden = [adminKey];
  const anthropic = await startFaultyAnthropic({ apiKey: upstreamKey, forbiddenSecrets: [...forbidden, secondKey, bedrockKey] });
  const second = await startFaultyAnthropic({ apiKey: secondKey, forbiddenSecrets: [...forbidden, upstreamKey, bedrockKey] });
  const bedrock = await startFaultyBedrock({ bearer: bedrockKey, forbiddenSecrets: [...forbidden, upstreamKey, secondKey] });
  const proxies = { anthropic: await startFaultProxy({ targetPort: anthropic.port }), bedrock: await startFaultProxy({ targetPort: bedrock.port }) };
  const harness = await startHarness({ upstreamUrl: "", file: configOf(cells, { anthropic: proxies.anthropic.url, bedrock: proxies.bedrock.url, second: second.url }) });
  const places = [anthropic, bedrock, second];
  return {
    harness, anthropic, bedrock, second,
    key: await harness.key(),
    proxyOf: (mode) => (isCloudMode(mode) ? proxies.bedrock : proxies.anthropic),
    placeOf: (mode) => (isCloudMode(mode) ? bedrock : anthropic),
    async rows(session) {
      return (await harness.admin<{ rows: Record<string, unknown>[] }>("GET", `/api/v1/usage?by=key&rows=50&session=${session}`)).rows.toReversed();
    },
    async isAtRest() {
      const reply = await fetch(`${harness.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } });
      const metrics = await reply.text();
      if (!/^tollgate_requests_in_flight 0$/m.test(metrics) || !/^tollgate_open_streams 0$/m.test(metrics)) return false;
      return (await harness.admin<{ budgets: { readonly held_usd: string }[] }>("GET", "/api/v1/budgets")).budgets.every(({ held_usd }) => held_usd === "0.00");
    },
    async close() {
      await harness.close();
      for (const proxy of Object.values(proxies)) await proxy.close();
      for (const place of places) await place.close();
      return places.flatMap(({ violations, rejections }) => [...violations, ...rejections.map(({ status, message, url }) => `refused ${url} with ${status}: ${message}`)]);
    },
  };
}

/** Waits for what is to come, and no longer than it may take. */
export function untilTrue(what: string, probe: () => boolean | Promise<boolean>, ms = 8_000): Promise<boolean> {
  return until(what, probe, ms);
}

function configOf(cells: ReadonlyMap<number, Cell>, urls: { readonly anthropic: string; readonly bedrock: string; readonly second: string }): string {
  const anthropicAt = (url: string, key: string): string => `{kind: anthropic, base_url: "${url}", api_key: "${key}"}`;
  const bedrockAt = (url: string): string => `{kind: bedrock, region: us-east-1, endpoint: "${url}", api_key: ${bedrockKey}}`;
  const closed = "http://127.0.0.1:1";
  return [
    "listen: {host: 127.0.0.1, port: 0}",
    `admin: {key: "${adminKey}"}`,
    "logging: {level: silent}",
    `timeouts: {first_byte_stream: ${silenceMs}ms, first_byte_plain: ${silenceMs}ms, idle: ${silenceMs}ms, total: ${totalMs}ms}`,
    "routing: {hold_events: 100ms}",
    "budgets: [{scope: global, amount: 1000000}, {scope: 'session:*', amount: 1000, mode: strict}]",
    "rate_limits: {rules: [{scope: global, parallel_requests: 1}]}",
    "providers:",
    `  anthropic: ${anthropicAt(urls.anthropic, upstreamKey)}`,
    `  bedrock: ${bedrockAt(urls.bedrock)}`,
    `  second: ${anthropicAt(urls.second, secondKey)}`,
    `  closed-anthropic: ${anthropicAt(closed, upstreamKey)}`,
    `  closed-bedrock: ${bedrockAt(closed)}`,
    `  speaks-no-tls-anthropic: ${anthropicAt(urls.anthropic.replace("http:", "https:"), upstreamKey)}`,
    `  speaks-no-tls-bedrock: ${bedrockAt(urls.bedrock.replace("http:", "https:"))}`,
    "models:",
    ...[...cells].map(([number, cell]) => {
      const usual = isCloudMode(cell.mode) ? "bedrock" : "anthropic";
      const { place } = faultOf(cell);
      const first = `{provider: ${place === undefined ? usual : `${place}-${usual}`}, model: ${model}, id: cell-${number}-first, limits: {parallel_requests: 1}}`;
      const others = cell.other === "none" ? "" : `, {provider: second, model: ${model}, id: cell-${number}-second, limits: {parallel_requests: 1}, timeouts: {first_byte_stream: 20s, first_byte_plain: 20s, idle: 20s}}`;
      return `  - {name: cell-${number}-${model}, targets: [${first}${others}]}`;
    }),
    ...modes.map((mode) => `  - {name: after-${mode}-${model}, targets: [{provider: ${isCloudMode(mode) ? "bedrock" : "anthropic"}, model: ${model}, id: after-${mode}, limits: {parallel_requests: 1}}]}`),
  ].join("\n");
}
