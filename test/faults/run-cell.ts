/** Drives one real call through the gateway with one fault, and says everything that was not as it has to be. */
import { answerBlocks, model } from "./answer.ts";
import type { Cell } from "./axes.ts";
import { callAs, eventsOfFrames, type CallerOptions, type Seen } from "./caller.ts";
import { faultOf } from "./cells.ts";
import type { FaultyBehaviour } from "./faulty-places.ts";
import { booksProblems, replyProblems, type Judged } from "./judge.ts";
import { untilTrue, type Lane } from "./lane.ts";

/** Enough for many events; for who reads slowly, more than is written at once. */
const textBytes = 600;
const largeTextBytes = 120_000;

/** @returns what is wrong, as sentences; none: all is well */
export async function runCell(lane: Lane, number: number, cell: Cell): Promise<readonly string[]> {
  const userId = `cell-${number}`;
  const before = countsOf(lane);
  try {
    await arm(lane, cell, userId);
    const seen = await callAs(callerOf(lane, cell, { name: `cell-${number}-${model}`, userId, client: cell.client }));
    await untilTrue("the gateway is at rest after the call", () => lane.isAtRest());
    const judged: Judged = { lane, cell, number, seen, session: userId, userId };
    const problems = [...replyProblems(judged), ...(await booksProblems(judged, before))];
    return [...problems, ...(await nextCallProblems(lane, number, cell))];
  } catch (error) {
    await disarm(lane, cell).catch(() => undefined);
    return [error instanceof Error ? error.message : String(error)];
  }
}

/** How many requests each place has had, and its bill. */
export interface Counts {
  readonly requests: { readonly first: number; readonly second: number };
}

function countsOf(lane: Lane): Counts & { readonly anthropic: number; readonly bedrock: number } {
  const { anthropic, bedrock, second } = lane;
  return { anthropic: anthropic.requests.length, bedrock: bedrock.requests.length, requests: { first: anthropic.requests.length + bedrock.requests.length, second: second.requests.length } };
}

async function arm(lane: Lane, cell: Cell, userId: string): Promise<void> {
  const play = faultOf(cell).play(cell);
  const usual: FaultyBehaviour = { blocks: answerBlocks(cell.client === "slow" ? largeTextBytes : textBytes), ...(cell.client === "slow" ? { deltaCharacters: 4_000 } : {}) };
  const place = lane.placeOf(cell.mode);
  const proxy = lane.proxyOf(cell.mode);
  place.behave((_request, body) => (isOf(body, userId) ? { ...usual, ...play.behaviour } : usual));
  lane.second.behave((_request, body) => (isOf(body, userId) && cell.other === "failing" ? { status: 529 } : usual));
  if (play.network !== undefined) {
    await freshConnections(lane, cell);
    proxy.setFaults(play.network);
  }
  if (play.isStale === true) {
    await callAs(callerOf(lane, cell, { name: `after-${cell.mode}-${model}`, userId: `${userId}-warm`, client: "stays" }));
    await untilTrue("the gateway is at rest", () => lane.isAtRest());
    proxy.resetAll();
  }
}

async function disarm(lane: Lane, cell: Cell): Promise<void> {
  const proxy = lane.proxyOf(cell.mode);
  if (faultOf(cell).play(cell).network === undefined) return;
  proxy.setFaults({});
  await freshConnections(lane, cell);
}

async function freshConnections(lane: Lane, cell: Cell): Promise<void> {
  const proxy = lane.proxyOf(cell.mode);
  // Again and again: a connection that was being opened is not there to be reset.
  await untilTrue("the connections are gone", () => {
    proxy.resetAll();
    return proxy.open() === 0;
  });
}

function isOf(body: Readonly<Record<string, unknown>>, userId: string): boolean {
  return (body["metadata"] as { user_id?: unknown } | undefined)?.user_id === userId;
}

function callerOf(lane: Lane, cell: Cell, { name, userId, client }: Pick<CallerOptions, "name" | "userId" | "client">): CallerOptions {
  const connections = lane.proxyOf(cell.mode).connections();
  const records = (): readonly { readonly isFinished: boolean; readonly isAborted: boolean }[] =>
    [lane.placeOf(cell.mode), lane.second].flatMap(({ requests }) => requests.filter(({ json }) => json !== undefined && isOf(json, userId)));
  const isReached = (): boolean => records().length > 0 || lane.proxyOf(cell.mode).connections() > connections;
  // What never reaches a place, or never ends there, is not waited for.
  const patience = (what: string, probe: () => boolean, ms: number): Promise<void> => untilTrue(what, probe, ms).then(() => undefined, () => undefined);
  return {
    url: lane.harness.url,
    key: lane.key,
    mode: cell.mode,
    client,
    name,
    userId,
    session: userId,
    upstreamReached: () => patience("the call is at an upstream", isReached, 100),
    upstreamDone: () => patience("the upstream is done", () => records().length > 0 && records().every(({ isFinished, isAborted }) => isFinished || isAborted), 150),
  };
}

/** The next call finds a gateway as if nothing had been: no slot taken, no connection with another's bytes on it. */
async function nextCallProblems(lane: Lane, number: number, cell: Cell): Promise<readonly string[]> {
  const fault = faultOf(cell);
  await disarm(lane, cell);
  // A connection that dies behind a whole reply looks well until it is used.
  if (cell.phase === "end" && (fault.group === "network" || fault.group === "time")) await freshConnections(lane, cell);
  const isSameTarget = fault.place === undefined && fault.isParking === undefined;
  const name = isSameTarget ? `cell-${number}-${model}` : `after-${cell.mode}-${model}`;
  const seen: Seen = await callAs(callerOf(lane, cell, { name, userId: `cell-${number}-next`, client: "stays" }));
  await untilTrue("the gateway is at rest after the next call", () => lane.isAtRest());
  const by = seen.headers["x-litellm-model-id"];
  const expected = isSameTarget ? `cell-${number}-first` : `after-${cell.mode}`;
  if (seen.status !== 200 || !seen.isComplete) return [`the next call got ${seen.status}${seen.isComplete ? "" : ", broken off"}: ${seen.bytes.toString("latin1").slice(0, 200)}`];
  if (by !== expected) return [`the next call was served by ${by}, not by ${expected}`];
  const body = cell.mode === "framed" ? eventsOfFrames(seen.bytes) : seen.bytes;
  if (!body.includes("says hello") && !body.includes("input_json_delta")) return [`the next call got another answer: ${seen.bytes.toString("latin1").slice(0, 200)}`];
  return [];
}
