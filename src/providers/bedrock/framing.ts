/**
 * Bedrock's binary event stream as Anthropic's server-sent events. A `chunk` frame holds `{"bytes": <base64 of one event's JSON>}`;
 * an exception frame ends the stream (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html,
 * checked 2026-11). The JSON's own bytes are passed on, so `amazon-bedrock-invocationMetrics` in the last event stays: clients and
 * the observer look members up by name.
 */
import { isGatewayError, GatewayError } from "../../kernel/gateway-error.ts";
import { createFrameReader, type Frame } from "../../wire/event-stream.ts";
import type { Unframer } from "../provider.ts";
import { eventHead, eventType } from "./event-head.ts";
import { exceptionFault } from "./failures.ts";
import { createRunReader, wholeFrameBytes } from "./frame-runs.ts";

const empty = Buffer.alloc(0);
const lineEnd = Buffer.from("\n\n");
const bytesMember = '{"bytes":"';

export function unframe(): Unframer {
  const reader = createFrameReader();
  const runs = createRunReader();
  let fault: GatewayError | undefined;
  let wholeBytes = 0;
  const slowly = (bytes: Buffer, pieces: Buffer[]): void => {
    for (const frame of reader.push(bytes)) {
      fault = read(frame, pieces);
      if (fault !== undefined) return;
      wholeBytes += frame.frameBytes;
    }
  };
  return {
    push(bytes) {
      const pieces: Buffer[] = [];
      try {
        for (let at = 0; at < bytes.length && fault === undefined; ) {
          const length = reader.isAtBorder() ? wholeFrameBytes(bytes, at) : undefined;
          if (length === undefined) {
            slowly(bytes.subarray(at), pieces);
            break;
          }
          const run = runs.read(bytes, at);
          if (run.events.length > 0) pieces.push(run.events);
          wholeBytes += run.end - at;
          at = run.end;
          if (at === bytes.length) break;
          const next = wholeFrameBytes(bytes, at);
          if (next === undefined) continue;
          // A frame of another kind: read with all checks, and known from then on if it holds an event too.
          slowly(bytes.subarray(at, at + next), pieces);
          if (reader.isAtBorder()) runs.learn(bytes, at);
          at += next;
        }
      } catch (error) {
        if (!isGatewayError(error)) throw error;
        fault = error;
      }
      return pieces.length === 0 ? empty : pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    },
    fault: () => fault,
    wholeBytes: () => wholeBytes,
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
  if (type !== undefined) pieces.push(eventHead(type), onOneLine(json), lineEnd);
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

/** A line break in JSON stands between its parts only, where a space means the same and does not end the line. */
function onOneLine(json: Buffer): Buffer {
  if (!json.includes(0x0a) && !json.includes(0x0d)) return json;
  return Buffer.from(json.map((byte) => (byte === 0x0a || byte === 0x0d ? 0x20 : byte)));
}
