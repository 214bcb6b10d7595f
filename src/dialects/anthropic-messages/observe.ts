/**
 * Reads usage out of a Messages reply while its bytes pass. Only the few events that carry usage are parsed; for the
 * rest one native search per run of events must suffice, or metering would cost more than forwarding.
 *
 * Rules (https://docs.anthropic.com/en/api/messages-streaming, checked 2026-11): `message_start` reports the input side,
 * `message_delta` the cumulative output and perhaps corrections; per member the last non-null value wins. When
 * `iterations[]` exists, its entries are what is billed; which of them are free after a refusal is told by `refusals.ts`.
 */
import { decodeEvents } from "../../wire/sse.ts";
import { isProblem, scanMembers } from "../../wire/json-members.ts";
import type { ReplyObserver } from "../dialect.ts";
import { handoverOf, stopCategoryOf, type Handover } from "./refusals.ts";
import { createUsageMerge, type UsageMerge } from "./usage.ts";

const usageName = Buffer.from('"usage"');
const blockStart = Buffer.from("content_block_start");
const deltaMember = Buffer.from('"delta":{');
const deltaType = Buffer.from('_delta","');
const valueOpen = Buffer.from('":"');
const lineFeed = 0x0a;
const eventEnd = Buffer.from("\n\n");
const stopType = Buffer.from('"message_stop"');
const errorType = Buffer.from('"error"');

export function observe(): ReplyObserver {
  const merge = createUsageMerge();
  const refusals = observeRefusals(merge);
  let hasStarted = false;
  let model: string | undefined;
  let outputCharacters = 0;
  let ended: "complete" | "error" | undefined;
  let hasContent = false;
  let errorType: string | undefined;

  /** @returns false when the data is not JSON by itself, as a part of an event in several lines is not */
  const readEvent = (data: string): boolean => {
    const event = parseObject(data);
    if (event === undefined) return false;
    const message = event["message"];
    if (event["type"] === "message_start" && isObject(message)) {
      hasStarted = true;
      if (typeof message["model"] === "string") model = message["model"];
      merge.add(message["usage"], "started");
    } else if (event["type"] === "message_delta") {
      // Deltas without a reason to stop may be followed by others that report more.
      const delta = isObject(event["delta"]) ? event["delta"] : {};
      const isEnd = typeof delta["stop_reason"] === "string";
      merge.add(event["usage"], isEnd ? "final" : "started");
      if (isEnd) refusals.end(delta["stop_reason"], delta["stop_details"]);
    }
    return true;
  };

  return {
    streamEvents(events) {
      if (ended === undefined && (ended = endIn(events)) === "error") errorType = errorTypeIn(events);
      if (!hasContent) hasContent = events.includes(blockStart);
      refusals.streamEvents(events);
      let at = events.indexOf(usageName);
      let isReadable = true;
      while (at !== -1) {
        const lineStart = events.lastIndexOf(lineFeed, at) + 1;
        const lineEnd = events.indexOf(lineFeed, at);
        const end = lineEnd === -1 ? events.length : lineEnd;
        const line = events.toString("utf8", lineStart, end);
        isReadable &&= lineEnd !== -1 && line.startsWith("data:") && readEvent(line.slice(5));
        at = events.indexOf(usageName, end);
      }
      // A start without usage, line ends other than LF, data in several lines: rare enough to be read the slow way.
      if (!hasStarted || !isReadable) for (const { data } of decodeEvents(events)) readEvent(data);
      outputCharacters += countOutput(events);
    },
    plainBody(body) {
      const members = scanMembers(body);
      if (isProblem(members) || members.get("usage") === undefined) return;
      hasStarted = true;
      const text = (member: string): string => {
        const place = members.get(member);
        return place === undefined ? "" : body.toString("utf8", place.valueStart, place.valueEnd);
      };
      model = parseString(text("model"));
      const usageText = text("usage");
      merge.add(parseObject(usageText), "final");
      const stopReason = parseString(text("stop_reason"));
      // Long answers are parsed for their blocks only where these decide about money.
      if (stopReason !== "refusal" && !usageText.includes('"fallback_message"')) return;
      refusals.content(parseValue(text("content")));
      refusals.end(stopReason, parseObject(text("stop_details")));
    },
    hasStarted: () => hasStarted,
    hasContent: () => hasContent,
    errorType: () => errorType,
    ending: () => ended ?? "broken",
    outputCharacters: () => Math.round(outputCharacters),
    observed: () => ({ ...merge.result(), outputCharacters: Math.round(outputCharacters) }),
    servedModel: () => model,
    usageJson: () => merge.json(),
  };
}

/** Collects what tells whether attempts are billed: blocks first, then the end, which hands it to the merge. */
function observeRefusals(merge: UsageMerge): { streamEvents(events: Buffer): void; content(blocks: unknown): void; end(stopReason: unknown, stopDetails: unknown): void } {
  const handovers: Handover[] = [];
  /** A block other than a handover has begun; those after it are of no interest, so that most of a stream is not searched for them. */
  let hasOwnContent = false;
  const readBlock = (block: unknown): void => {
    const handover = handoverOf(block);
    if (handover === undefined) hasOwnContent = true;
    else if (!hasOwnContent) handovers.push(handover);
  };
  return {
    // What cannot be read where a block is expected is taken for content.
    streamEvents(events) {
      for (let at = hasOwnContent ? -1 : events.indexOf(blockStart); at !== -1 && !hasOwnContent; ) {
        const end = events.indexOf(lineFeed, at);
        const line = end === -1 ? "" : events.toString("utf8", events.lastIndexOf(lineFeed, at) + 1, end);
        if (!line.startsWith("event:")) readBlock(line.startsWith("data:") ? parseObject(line.slice(5))?.["content_block"] : undefined);
        at = end === -1 ? -1 : events.indexOf(blockStart, end);
      }
    },
    content(blocks) {
      for (const block of Array.isArray(blocks) ? blocks : [undefined]) readBlock(block);
    },
    end(stopReason, stopDetails) {
      merge.mark({ stopCategory: stopCategoryOf(stopReason, stopDetails), handovers, hasContent: hasOwnContent || handovers.length > 0 });
    },
  };
}

/**
 * How the stream has ended in this run, if it has; comments and pings may follow. Inside a text both names stand with escaped
 * quotes, so that the search finds them seldom by mistake, and only what stands from there on is decoded.
 */
function endIn(events: Buffer): "complete" | "error" | undefined {
  return isIn(events, stopType, "message_stop") ? "complete" : isIn(events, errorType, "error") ? "error" : undefined;
}

function errorTypeIn(events: Buffer): string | undefined {
  for (const { data } of decodeEvents(events)) {
    const event = parseObject(data);
    const error = event?.["type"] === "error" ? event["error"] : undefined;
    if (isObject(error) && typeof error["type"] === "string") return error["type"];
  }
  return undefined;
}

function isIn(events: Buffer, quoted: Buffer, type: string): boolean {
  let end = events.length;
  for (let at = events.lastIndexOf(quoted); at !== -1; at = end === 0 ? -1 : events.lastIndexOf(quoted, end - 1)) {
    const border = events.lastIndexOf(eventEnd, at);
    const start = border === -1 ? 0 : border + eventEnd.length;
    if (decodeEvents(events.subarray(start, end)).some(({ data }) => parseObject(data)?.["type"] === type)) return true;
    // What stands there is no event of this type; one before it may be.
    end = start;
  }
  return false;
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
  const value = parseValue(text);
  return isObject(value) ? value : undefined;
}

function parseString(text: string): string | undefined {
  const value = parseValue(text);
  return typeof value === "string" ? value : undefined;
}

/** Undefined for what is no JSON. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
