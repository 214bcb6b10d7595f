/** What an event's JSON says about itself, and the first line that server-sent events put before it. */
import { isProblem, scanMembers } from "../../wire/json-members.ts";

const typeMember = '{"type":"';
const heads = new Map<string, Buffer>();
/** Distinct event names whose first line is kept ready; Anthropic has about ten. */
const headsMax = 64;

/** The event's name, undefined when it has none, `broken` when this is no JSON object. */
export function eventType(json: Buffer): string | undefined {
  const start = json.toString("latin1", 0, 64);
  if (start.startsWith(typeMember)) {
    const end = start.indexOf('"', typeMember.length);
    const name = end === -1 ? "" : start.slice(typeMember.length, end);
    if (/^\w+$/.test(name) && json.at(-1) === 0x7d) return name;
  }
  const members = scanMembers(json);
  if (isProblem(members)) return "broken";
  const member = members.get("type");
  if (member === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(json.toString("utf8", member.valueStart, member.valueEnd));
    return typeof value === "string" && /^[\w.-]{1,64}$/.test(value) ? value : undefined;
  } catch {
    // The scan finds where a value ends, and does not judge what stands in it.
    return "broken";
  }
}

/** `event: NAME`, and the beginning of the line of data. */
export function eventHead(type: string): Buffer {
  const known = heads.get(type);
  if (known !== undefined) return known;
  const head = Buffer.from(`event: ${type}\ndata: `);
  if (heads.size < headsMax) heads.set(type, head);
  return head;
}
