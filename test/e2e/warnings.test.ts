/**
 * Guarantee: the operator's webhook is told once, signed, when a budget is spent to one of its shares, also when it was down at first,
 * and not again by the next process.
 */
import { createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";
import { openCall, startStage, type Stage } from "./stage.ts";

const secret = "whsec-3f9c01ab77d2e846";
const dollar = { usage: { input_tokens: 150_000, output_tokens: 10_000 } } as const;

interface Message {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let servers: Server[] = [];
afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  servers = [];
});

/** Answers with these statuses in turn, then 204. */
async function receiver(port: number, statuses: number[] = []): Promise<{ readonly url: string; readonly port: number; readonly messages: Message[] }> {
  const messages: Message[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (bytes: Buffer) => void pieces.push(bytes)).on("end", () => {
      messages.push({ headers: request.headers, body: Buffer.concat(pieces).toString("utf8") });
      response.writeHead(statuses.shift() ?? 204).end();
    });
  });
  await new Promise<void>((resolve) => void server.listen(port, "127.0.0.1", resolve));
  servers.push(server);
  const { port: taken } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${taken}/hook?team=llm`, port: taken, messages };
}

const config = (url: string): string => `webhook: {url: '${url}', secret: ${secret}}\nbudgets: [{scope: global, amount: 2, warn_at: [50, 90]}]`;
const spendADollar = async (stage: Stage): Promise<void> => expect((await stage.call({ behaviour: dollar })).status).toBe(200);

function isSigned({ headers, body }: Message): boolean {
  const [, seconds, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers["tollgate-signature"])) ?? [];
  return signature === createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex") && Math.abs(Date.now() / 1_000 - Number(seconds)) < 60;
}

it("is told of each share once, with a signature that fits", async () => {
  const hook = await receiver(0);
  const stage = await startStage({ config: config(hook.url) });
  await spendADollar(stage);
  await until("the first warning", () => hook.messages.length > 0);
  expect(JSON.parse(hook.messages[0]!.body)).toMatchObject({ type: "budget.threshold_crossed", scope: "global", threshold_percent: 50, spent_usd: "1.00", amount_usd: "2.00" });
  expect(isSigned(hook.messages[0]!)).toBe(true);
  expect(isSigned({ ...hook.messages[0]!, body: hook.messages[0]!.body.replace("50", "51") })).toBe(false);
  await spendADollar(stage);
  await until("the second", () => hook.messages.length > 1);
  expect(hook.messages.map(({ body }) => (JSON.parse(body) as { threshold_percent: number }).threshold_percent)).toEqual([50, 90]);
  await stage.close();
}, 30_000);

it("is told when it comes back, by the next process too, and then never again", async () => {
  const hook = await receiver(0, [500]);
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const start = (dataDir?: string): Promise<Harness> => startHarness({ upstreamUrl: fake.url, config: config(hook.url), ...(dataDir === undefined ? {} : { dataDir }) });
  const first = await start();
  const key = await first.key();
  const spend = async (url: string): Promise<void> => void (await (await openCall(url, key, { behaviour: dollar })).ended);
  await spend(first.url);
  await until("a try that failed", () => hook.messages.length > 0);
  await first.gateway.close(0);
  const second = await start(first.dataDir);
  await until("a try that was taken", () => hook.messages.length > 1, 30_000);
  await second.gateway.close(0);
  const third = await start(first.dataDir);
  await spend(third.url);
  await until("the other share", () => hook.messages.length > 2, 30_000);
  const told = hook.messages.map(({ body }) => JSON.parse(body) as { id: string; threshold_percent: number });
  expect(told.map(({ threshold_percent }) => threshold_percent)).toEqual([50, 50, 90]);
  expect(told[0]!.id).toBe(told[1]!.id);
  await third.close();
  await first.close().catch(() => undefined);
  await fake.close();
}, 90_000);
