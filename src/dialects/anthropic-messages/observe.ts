/**
 * Reads usage out of a Messages reply while its bytes pass. Only the few events that carry usage are parsed; for the
 * rest one native search per run of events must suffice, or metering would cost more than forwarding.
 *
 * Rules (https://docs.anthropic.com/en/api/messages-streaming, checked 2026-11): `message_start` reports the input side,
 * `message_delta` the cumulative output and perhaps corrections; per member the last non-null value wins. When
 * `iterations[]` exists, its entries are what is billed.
 */
import { decodeEvents } from "../../wire/sse.ts";
import { isProblem, scanMembers } from "../../wire/json-members.ts";
import type { ReplyObserver } from "../dialect.ts";
import { createUsageMerge } from "./usage.ts";

const usageName = Buffer.from('"usage"');
const deltaMember = Buffer.from('"delta":{');
const deltaType = Buffer.from('_delta","');
const valueOpen = Buffer.from('":"');
const lineFeed = 0x0a;
const eventEnd = Buffer.from("\n\n");

export function observe(): ReplyObserver {
  const merge = createUsageMerge();
  let hasStarted = false;
  let model: string | undefined;
  let outputCharacters = 0;
  let lastEvents: Buffer | undefined;

  const readEvent = (data: string): void => {
    const event = parseObject(data);
    if (event === undefined) return;
    const message = event["message"];
    if (event["type"] === "message_start" && isObject(message)) {
      hasStarted = true;
      if (typeof message["model"] === "string") model = message["model"];
      merge.add(message["usage"], "started");
    } else if (event["type"] === "message_delta") {
      merge.add(event["usage"], "final");
    }
  };

  return {
    streamEvents(events) {
      lastEvents = events;
      let at = events.indexOf(usageName);
      while (at !== -1) {
        const lineStart = events.lastIndexOf(lineFeed, at) + 1;
        const lineEnd = events.indexOf(lineFeed, at);
        const end = lineEnd === -1 ? events.length : lineEnd;
        const line = events.toString("utf8", lineStart, end);
        if (line.startsWith("data:")) readEvent(line.slice(5));
        at = events.indexOf(usageName, end);
      }
      // A start without usage, or with line ends other than LF: rare enough to be read the slow way.
      if (!hasStarted) for (const { data } of decodeEvents(events)) readEvent(data);
      outputCharacters += countOutput(events);
    },
    plainBody(body) {
      const members = scanMembers(body);
      if (isProblem(members)) return;
      const usage = members.get("usage");
      if (usage === undefined) return;
      hasStarted = true;
      const name = members.get("model");
      if (name !== undefined) model = parseString(body.toString("utf8", name.valueStart, name.valueEnd));
      merge.add(parseObject(body.toString("utf8", usage.valueStart, usage.valueEnd)), "final");
    },
    hasStarted: () => hasStarted,
    ending() {
      if (lastEvents === undefined) return "broken";
      const types = decodeEvents(lastFew(lastEvents)).map(({ data }) => parseObject(data)?.["type"]);
      if (types.includes("message_stop")) return "complete";
      return types.includes("error") ? "error" : "broken";
    },
    observed: () => ({ ...merge.result(), outputCharacters: Math.round(outputCharacters) }),
    servedModel: () => model,
    usageJson: () => merge.json(),
  };
}

/** The last four events of a run, or all of it where lines do not end with LF: a burst must not be parsed for its last event. */
function lastFew(events: Buffer): Buffer {
  let start = events.length - eventEnd.length;
  for (let count = 0; count < 4 && start > 0; count++) start = events.lastIndexOf(eventEnd, start - 1);
  return start <= 0 ? events : events.subarray(start + eventEnd.length);
}

/**
 * Output characters in a run of events. The first delta is measured; in a burst the others are taken to be like it,
 * which is close enough for a floor that only counts when a client leaves early.
 */
function countOutput(events: Buffer): number {
  const member = events.indexOf(deltaMember);
  if (member === -1) return 0;
  const open = events.indexOf(deltaType, member);
  if (open === -1) return 0;
  const value = events.indexOf(valueOpen, open + deltaType.length);
  const end = events.indexOf(lineFeed, open);
  if (value === -1 || end === -1 || value > end) return 0;
  // The value closes with `"}}` at the end of its data line.
  const characters = Math.max(0, end - 3 - (value + valueOpen.length));
  const eventLength = end + 2;
  return events.length <= eventLength * 1.5 ? characters : characters * (events.length / eventLength);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function parseString(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
