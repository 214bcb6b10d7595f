/**
 * The provider of the benchmark: answers Messages requests with ready-made bytes and does as little else as it can, so
 * that it does not limit what it stands behind. It reads heads and content lengths, nothing more; the model's name
 * chooses the reply. Runs as a process of its own and speaks with its parent over the message channel.
 */
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { wireReplies } from "./payloads.ts";

/** What the parent says: end every paced stream properly. */
export interface MockCommand {
  readonly type: "finish-paced";
}

/** What the mock says to its parent, once. */
export interface MockReady {
  readonly type: "listening";
  readonly port: number;
}

/** One event per stream in this time; the streams are spread evenly over it. */
const paceMs = 100;
/** Streams that share an instant; with 1 ms slots 2,000 streams make 20 writes each. */
const slotCount = 100;
const headBytesMax = 64 * 1024;
const headEnd = Buffer.from("\r\n\r\n");

const slots: Set<Socket>[] = Array.from({ length: slotCount }, () => new Set());
let nextSlot = 0;

/** Reads the requests of one connection, one after another, each possibly in many pieces. */
class Connection {
  readonly socket: Socket;
  /** Start of a head that has not ended yet. */
  held: Buffer | undefined;
  /** Body bytes that are still to come before the reply. */
  bodyBytesLeft = 0;
  reply: keyof typeof wireReplies = "plain";
  isReplyKnown = false;
  slot: Set<Socket> | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  data(piece: Buffer): void {
    let rest = piece;
    while (rest.length > 0) {
      if (this.bodyBytesLeft > 0) {
        rest = this.body(rest);
        continue;
      }
      const bytes = this.held === undefined ? rest : Buffer.concat([this.held, rest]);
      this.held = undefined;
      const end = bytes.indexOf(headEnd);
      if (end === -1) {
        if (bytes.length > headBytesMax) this.socket.destroy();
        else this.held = bytes;
        return;
      }
      this.head(bytes.toString("latin1", 0, end + 2));
      rest = bytes.subarray(end + 4);
    }
  }

  head(text: string): void {
    const length = /\r\ncontent-length: ?(\d+)\r\n/i.exec(text);
    if (!text.startsWith("POST ")) {
      this.socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}");
      return;
    }
    if (length === null) {
      this.socket.end("HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      return;
    }
    this.bodyBytesLeft = Number(length[1]);
    // Bedrock names the model in its path.
    this.isReplyKnown = text.startsWith("POST /model/");
    if (this.isReplyKnown) this.reply = "bedrock";
  }

  body(bytes: Buffer): Buffer {
    if (!this.isReplyKnown) this.chooseReply(bytes);
    const taken = Math.min(bytes.length, this.bodyBytesLeft);
    this.bodyBytesLeft -= taken;
    if (this.bodyBytesLeft === 0) this.answer();
    return bytes.subarray(taken);
  }

  /** `{"model":"claude-` is followed by the letter that tells the three models apart. */
  chooseReply(bytes: Buffer): void {
    const letter = bytes[17];
    // A body that starts in smaller pieces would be answered wrongly; no proxy has a reason to cut there.
    if (letter === undefined) this.socket.destroy();
    this.reply = letter === 0x6f ? "pacedStart" : letter === 0x73 ? "burst" : "plain";
    this.isReplyKnown = true;
  }

  answer(): void {
    this.socket.write(wireReplies[this.reply]);
    if (this.reply !== "pacedStart") return;
    this.slot = slots[nextSlot];
    nextSlot = (nextSlot + 1) % slotCount;
    this.slot?.add(this.socket);
  }
}

// Without a parent nobody would ever end this process.
if (process.send === undefined) {
  process.stderr.write("The mock upstream is started by bench/run.ts, not by hand.\n");
  process.exit(2);
}

const server = createServer({ noDelay: true }, (socket) => {
  const connection = new Connection(socket);
  socket.on("data", (piece: Buffer) => connection.data(piece));
  socket.on("error", () => socket.destroy());
  socket.on("close", () => connection.slot?.delete(socket));
});

let slotsDone = 0;
const startedAt = performance.now();
setInterval(() => {
  const due = Math.floor(((performance.now() - startedAt) * slotCount) / paceMs);
  // A stall longer than one pace is not caught up with: every stream would get several events at once.
  slotsDone = Math.max(slotsDone, due - slotCount);
  for (; slotsDone < due; slotsDone += 1) {
    for (const socket of slots[slotsDone % slotCount] ?? []) socket.write(wireReplies.pacedEvent);
  }
}, paceMs / slotCount);

process.on("message", (command: MockCommand) => {
  if (command.type !== "finish-paced") return;
  for (const slot of slots) {
    for (const socket of slot) socket.write(wireReplies.pacedEnd);
    slot.clear();
  }
});
process.on("disconnect", () => process.exit(0));
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  const ready: MockReady = { type: "listening", port: (server.address() as AddressInfo).port };
  process.send?.(ready);
});
