/**
 * Guarantee: a fault of the gateway's own in the middle of a reply ends that reply and nothing else: its attempt is closed, the
 * client is answered while it can be, and the next request is served.
 */
import { ServerResponse } from "node:http";
import { afterEach, expect, it, vi } from "vitest";
import { messagesBody } from "../support/harness.ts";
import { startStage } from "./stage.ts";

afterEach(() => vi.restoreAllMocks());

/** Heads of replies that came from the upstream cannot be written, once. */
function failOnce(): void {
  const writeHead: unknown = Reflect.get(ServerResponse.prototype, "writeHead");
  let isDone = false;
  vi.spyOn(ServerResponse.prototype, "writeHead").mockImplementation(function (this: ServerResponse, ...parts: unknown[]) {
    if (!isDone && JSON.stringify(parts).includes("x-tollgate-overhead-ms")) {
      isDone = true;
      throw new Error("no head today");
    }
    return (writeHead as (...parts: unknown[]) => ServerResponse).apply(this, parts);
  });
}

it.each([
  ["a stream", true],
  ["a plain reply", false],
])("%s whose head cannot be written is answered with an error and closed in the ledger", async (_, stream) => {
  const stage = await startStage();
  failOnce();
  const reply = await stage.call({ body: messagesBody({ stream }) });
  expect([reply.status, reply.json<{ error: { type: string } }>().error.type]).toEqual([500, "api_error"]);
  expect((await stage.rows(reply.session)).map(({ outcome }) => outcome)).toEqual(["broken"]);
  expect((await stage.call({ body: messagesBody({ stream }) })).status).toBe(200);
  await stage.close();
});
