/** Guarantee: a reply that has come to its end leaves its connection alone, which may be another call's by then. */
import { expect, it } from "vitest";
import { Cancellation } from "../kernel/cancellation.ts";
import { createReply, type UpstreamReply } from "./reply.ts";

it.each(["consumed", "left alone"])("a reply that is over and was %s neither pauses nor closes the connection", (how) => {
  const touched: string[] = [];
  const cancellation = new Cancellation();
  let reply: UpstreamReply | undefined;
  const made = createReply(cancellation, (head) => (reply = head), () => undefined);
  made.attach({ pause: () => touched.push("pause"), resume: () => touched.push("resume"), destroy: () => touched.push("destroy") });
  const { sink } = made;
  sink.head(200, []);
  if (how === "consumed") reply!.consume({ data: () => undefined, end: () => undefined, fail: () => undefined });
  sink.body(Buffer.from("whole"));
  sink.end();
  touched.length = 0;
  reply!.pause();
  reply!.resume();
  reply!.abort();
  expect(touched).toEqual([]);
});
