/** What must hold after each cell, whatever the fault: what the caller has seen, and what the books say. */
import { adminKey, upstreamKey } from "../support/harness.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";
import type { BilledLine } from "../support/fake-anthropic-types.ts";
import { isStreamMode, type Cell, type Expectation, type Fault } from "./axes.ts";
import { decoded, eventsOfFrames, type Seen } from "./caller.ts";
import { faultOf } from "./cells.ts";
import { bedrockKey, secondKey, type Lane } from "./lane.ts";
import type { Counts } from "./run-cell.ts";

export interface Judged {
  readonly lane: Lane;
  readonly cell: Cell;
  readonly number: number;
  readonly seen: Seen;
  readonly session: string;
  readonly userId: string;
}

/** In one word, what a reply is. */
type Kind = "answer" | "error-event" | "error-reply" | "odd" | "cut";

interface Reading {
  readonly kind: Kind;
  /** Why it is odd, or the error's type. */
  readonly detail: string;
}

/** The dialect's own error types, and those of the gateway's protocol. */
const errorTypes = new Set(["invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error", "request_too_large", "rate_limit_error", "timeout_error", "api_error", "overloaded_error"]);

function eventsIn({ mode }: Cell, bytes: Buffer): Buffer {
  return mode === "framed" ? eventsOfFrames(bytes) : bytes;
}

function read(cell: Cell, seen: Seen): Reading {
  if (!seen.isComplete) return { kind: "cut", detail: "broken off" };
  if (seen.status !== 200) return readError(seen);
  const body = decoded(seen);
  if (body === undefined) return { kind: "odd", detail: "not in its coding" };
  if (!isStreamMode(cell.mode)) return readPlain(body);
  const judged = checkStreamGrammar(eventsIn(cell, body));
  if (!judged.ok) return { kind: "odd", detail: judged.problem };
  return judged.outcome === "stop" ? { kind: "answer", detail: "" } : { kind: "error-event", detail: judged.error?.type ?? "" };
}

function readPlain(body: Buffer): Reading {
  try {
    const { type, content } = JSON.parse(body.toString("utf8")) as { type?: unknown; content?: unknown };
    return type === "message" && Array.isArray(content) ? { kind: "answer", detail: "" } : { kind: "odd", detail: "no message" };
  } catch {
    return { kind: "odd", detail: "no JSON" };
  }
}

function readError(seen: Seen): Reading {
  if (seen.bytes.length === 0) return { kind: "error-reply", detail: "empty" };
  try {
    const { type, error } = JSON.parse(decoded(seen)?.toString("utf8") ?? "") as { type?: unknown; error?: { type?: unknown; message?: unknown } };
    const isForm = type === "error" && typeof error?.type === "string" && typeof error.message === "string";
    return isForm ? { kind: "error-reply", detail: String(error.type) } : { kind: "odd", detail: `status ${seen.status} in no form of an error` };
  } catch {
    return { kind: "odd", detail: `status ${seen.status} that is no JSON` };
  }
}

/** What may be seen by a caller who stays, as sentences where it is not so. */
export function replyProblems({ cell, number, seen }: Judged): string[] {
  const fault = faultOf(cell);
  const problems = leaks(seen);
  const starts = countOf(cell, seen, "message_start");
  const expect = typeof fault.expect === "function" ? fault.expect(cell) : fault.expect;
  if (starts > 1 && fault.name !== "a second message_start" && !(fault.name === "an event twice" && cell.phase === "first-event")) problems.push(`${starts} times message_start`);
  if (seen.status === 401 || seen.status === 403) problems.push(`the caller got the upstream's ${seen.status}`);
  if (cell.client !== "stays" && cell.client !== "slow") return problems;
  const reading = read(cell, seen);
  const told = `${reading.kind} ${reading.detail} ${seen.status}: ${seen.bytes.toString("latin1").slice(-160)}`;
  if (!mayBe(reading, { cell, seen, fault, expect, number })) problems.push(`expected ${expect}, got ${told}`);
  if (reading.kind === "error-event" && !errorTypes.has(reading.detail) && cell.mode !== "framed") problems.push(`an error of type ${reading.detail}`);
  return problems;
}

interface Case {
  readonly cell: Cell;
  readonly seen: Seen;
  readonly fault: Fault;
  readonly expect: Expectation;
  readonly number: number;
}

function mayBe({ kind }: Reading, { cell, seen, fault, expect, number }: Case): boolean {
  const by = seen.headers["x-litellm-model-id"];
  const isFirst = by === `cell-${number}-first`;
  const isSecond = by === `cell-${number}-second`;
  const isElsewhere = (): boolean => {
    if (cell.other === "healthy") return kind === "answer" && isSecond;
    // The last refusal there is goes to the caller in the upstream's own bytes.
    if (kind === "odd" && seen.status >= 500) return cell.other === "none";
    if (kind !== "error-reply") return cell.other === "none" && kind === "error-event" && (cell.phase === "first-event" || cell.phase === "headers");
    if (cell.other === "failing") return (seen.status === 429 && fault.status === 429) || ([503, 529].includes(seen.status) && seen.headers["retry-after"] !== undefined);
    return [429, 404, 408, 500, 502, 503, 504, 520, 529].includes(seen.status) && (seen.status < 500 ? seen.status === fault.status : true);
  };
  // A plain reply has not begun before it is whole, so that another target may serve.
  const isLate = (): boolean => (isStreamMode(cell.mode) ? kind === "error-event" : (kind === "error-reply" && [502, 503, 504, 529].includes(seen.status)) || (kind === "answer" && isSecond)) || isEarlyEnough();
  const isEarlyEnough = (): boolean => cell.phase === "first-event" && isElsewhere();
  const isAny = (): boolean => kind === "answer" || kind === "error-event" || (kind === "error-reply" && seen.status >= 500) || isElsewhere() || isLate();
  switch (expect) {
    case "answer":
      return kind === "answer" && isFirst;
    case "elsewhere":
      return isElsewhere();
    case "relay":
      return (kind === "error-reply" || kind === "odd") && seen.status === fault.status;
    case "late":
      return isLate();
    case "broken":
      return isLate() || isElsewhere();
    case "any":
      return isAny();
    case "verbatim":
      return isAny() || (kind === "odd" && seen.status === 200);
  }
}

function countOf(cell: Cell, seen: Seen, event: string): number {
  if (!isStreamMode(cell.mode) || seen.status !== 200) return 0;
  const body = decoded(seen);
  if (body === undefined) return 0;
  return eventsIn(cell, body).toString("latin1").split(`event: ${event}\n`).length - 1;
}

/** Nothing of the gateway's inside, of its logins or of where its upstreams are. */
function leaks({ headers, bytes }: Seen): string[] {
  const text = `${JSON.stringify(headers)}\n${bytes.length > 100_000 ? "" : bytes.toString("latin1")}`;
  const problems: string[] = [];
  for (const secret of [upstreamKey, adminKey, secondKey, bedrockKey]) if (text.includes(secret)) problems.push(`a secret crossed: ${secret}`);
  const inside = /127\.0\.0\.1|ECONN\w+|\.ts:\d+|node:internal|\bat \w+ \(|123456789012|arn:aws|10\.9\.8\.7|canary-role/.exec(text);
  if (inside !== null) problems.push(`the caller reads ${inside[0]}`);
  return problems;
}

/** Each attempt that a place may charge for has one row, closed, at the right target, and none is free that is billed. */
export async function booksProblems({ lane, cell, number, seen, session, userId }: Judged, before: Counts): Promise<string[]> {
  const fault = faultOf(cell);
  const rows = await lane.rows(session);
  const problems: string[] = [];
  const byTarget = Map.groupBy(rows, (row) => String(row["target_id"]));
  const places = { [`cell-${number}-first`]: [lane.anthropic, lane.bedrock], [`cell-${number}-second`]: [lane.second] };
  for (const row of rows) {
    if (row["closed_at"] === null) problems.push(`open: ${JSON.stringify(row)}`);
    if (!/^\d+(?:\.\d+)?$/.test(String(row["cost_usd"]))) problems.push(`costs ${String(row["cost_usd"])}`);
    for (const name of ["input_tokens", "output_tokens", "cache_read_tokens"]) if (row[name] !== undefined && !(Number.isSafeInteger(row[name]) && Number(row[name]) >= 0)) problems.push(`${name} is ${JSON.stringify(row[name])}`);
  }
  for (const [target, own] of byTarget) {
    if (places[target] === undefined) problems.push(`a row of ${target}`);
    if (own.length > 1) problems.push(`${own.length} rows of ${target}`);
  }
  for (const [target, fakes] of Object.entries(places)) {
    const arrived = fakes.flatMap(({ requests }) => requests.slice(0)).filter(({ json }) => (json?.["metadata"] as { user_id?: unknown } | undefined)?.user_id === userId).length;
    const bills = fakes.flatMap((fake) => fake.bill()).filter((line): line is BilledLine => line.type === "billed" && line.correlation["user_id"] === userId);
    const own = byTarget.get(target) ?? [];
    if (arrived > own.length) problems.push(`${arrived} calls arrived at ${target}, ${own.length} rows`);
    if (bills.length > 1) problems.push(`${target} billed ${bills.length} times`);
    const [bill] = bills;
    const [row] = own;
    if (bill === undefined || row === undefined) continue;
    if (row["source"] === "none") problems.push(`${target} billed, yet the row is free: ${JSON.stringify(row)}`);
    if (row["source"] === "reported" && fault.hasOddUsage === undefined && fault.group !== "bytes" && fault.group !== "events" && row["output_tokens"] !== bill.usage.output_tokens) problems.push(`${target} billed ${bill.usage.output_tokens} tokens of output, reported are ${String(row["output_tokens"])}`);
  }
  const attempts = seen.headers["x-tollgate-attempts"];
  if (attempts !== undefined && Number(attempts) !== rows.length) problems.push(`${attempts} attempts told, ${rows.length} rows`);
  if (rows.length === 0 && seen.status !== 0) problems.push("no row");
  const expect = typeof fault.expect === "function" ? fault.expect(cell) : fault.expect;
  if ((expect === "relay" || expect === "answer") && lane.second.requests.length > before.requests.second) problems.push("the other target heard of it");
  return problems;
}
