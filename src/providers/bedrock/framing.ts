/**
 * Bedrock's binary event stream as Anthropic's server-sent events. A `chunk` frame holds `{"bytes": <base64 of one event's JSON>}`;
 * an exception frame ends the stream (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html,
 * checked 2026-11). The JSON's own bytes are passed on, so `amazon-bedrock-invocationMetrics` in the last event stays: clients and
 * the observer look members up by name.
 */
import { isGatewayError, GatewayError } from "../../kernel/gateway-error.ts";
import { createFrameReader, type Frame } from "../../wire/event-stream.ts";
import { isProblem, scanMembers } from "../../wire/json-members.ts";
import type { Unframer } from "../provider.ts";
import { exceptionFault } from "./failures.ts";

const empty = Buffer.alloc(0);
const lineEnd = Buffer.from("\n\n");
const bytesMember = '{"bytes":"';
const typeMember = '{"type":"';
const heads = new Map<string, Buffer>();
/** Distinct event names whose first line is kept ready; Anthropic has about ten. */
const headsMax = 64;

export function unframe(): Unframer {
  const reader = createFrameReader();
  let fault: GatewayError | undefined;
  return {
    push(bytes) {
      if (fault !== undefined) return empty;
      const pieces: Buffer[] = [];
      try {
        for (const frame of reader.push(bytes)) {
          fault = read(frame, pieces);
          if (fault !== undefined) break;
        }
      } catch (error) {
        if (!isGatewayError(error)) throw error;
        fault = error;
      }
      return pieces.length === 0 ? empty : Buffer.concat(pieces);
    },
    fault: () => fault,
    isAtBorder: () => fault === undefined && reader.isAtBorder(),
  };
}

/** Adds the frame's event, if it has one, and gives the fault it tells, if it tells one. */
function read({ headers, payload }: Frame, pieces: Buffer[]): GatewayError | undefined {
  const messageType = headers.get(":message-type");
  if (messageType === "exception") return exceptionFault(headers.get(":exception-type") ?? "", payload);
  if (messageType === "error") return exceptionFault(headers.get(":error-code") ?? "", Buffer.from(JSON.stringify({ message: headers.get(":error-message") ?? "" })));
  if (headers.get(":event-type") !== "chunk") return undefined;
  const json = eventJson(payload);
  const type = json === undefined ? undefined : eventType(json);
  if (json === undefined || type === "broken") return new GatewayError("upstream_stream_broken", { internal: "event stream: a chunk holds no JSON" });
  // A chunk without a type is a sign of life of some proxy.
  if (type !== undefined) pieces.push(headFor(type), onOneLine(json), lineEnd);
  return undefined;
}

function eventJson(payload: Buffer): Buffer | undefined {
  const text = payload.toString("latin1");
  if (text.startsWith(bytesMember)) {
    const end = text.indexOf('"', bytesMember.length);
    // Base64 needs no escapes, but JSON may escape a slash.
    if (end !== -1 && !text.slice(bytesMember.length, end).includes("\\")) return Buffer.from(text.slice(bytesMember.length, end), "base64");
  }
  try {
    const bytes = (JSON.parse(payload.toString("utf8")) as { bytes?: unknown } | null)?.bytes;
    return typeof bytes === "string" ? Buffer.from(bytes, "base64") : undefined;
  } catch {
    return undefined;
  }
}

/** The event's name, undefined when it has none, `broken` when this is no JSON object. */
function eventType(json: Buffer): string | undefined {
  const start = json.toString("latin1", 0, 64);
  if (start.startsWith(typeMember)) {
    const end = start.indexOf('"', typeMember.length);
    const name = end === -1 ? "" : start.slice(typeMember.length, end);
    if (/^\w+$/.test(name) && json.at(-1) === 0x7d) return name;
  }
  const members = scanMembers(json);
  if (isProblem(members)) return "broken";
  const member = members.get("type");
  const value: unknown = member === undefined ? undefined : JSON.parse(json.toString("utf8", member.valueStart, member.valueEnd));
  return typeof value === "string" && /^[\w.-]{1,64}$/.test(value) ? value : undefined;
}

function headFor(type: string): Buffer {
  const known = heads.get(type);
  if (known !== undefined) return known;
  const head = Buffer.from(`event: ${type}\ndata: `);
  if (heads.size < headsMax) heads.set(type, head);
  return head;
}

/** A line break in JSON stands between its parts only, where a space means the same and does not end the line. */
function onOneLine(json: Buffer): Buffer {
  if (!json.includes(0x0a) && !json.includes(0x0d)) return json;
  return Buffer.from(json.map((byte) => (byte === 0x0a || byte === 0x0d ? 0x20 : byte)));
}
