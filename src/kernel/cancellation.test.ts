// Guarantee: whoever must stop is told once, with the first reason, and nobody who has gone is told.
import { expect, it } from "vitest";
import { Cancellation } from "./cancellation.ts";
import { GatewayError } from "./gateway-error.ts";

it("tells everybody once, with the first reason", () => {
  const cancellation = new Cancellation();
  const told: string[] = [];
  const first = (): void => void told.push("first");
  cancellation.add(first);
  cancellation.add(first);
  cancellation.add(() => told.push(cancellation.reason?.code ?? ""));
  cancellation.cancel(new GatewayError("client_closed"));
  cancellation.cancel(new GatewayError("gateway_draining"));
  expect([told, cancellation.reason?.code]).toEqual([["first", "client_closed"], "client_closed"]);
});

it("does not tell those who have gone, also when they go while others are told", () => {
  const cancellation = new Cancellation();
  const told: string[] = [];
  const gone = (): void => void told.push("gone");
  cancellation.add(gone);
  cancellation.add(() => cancellation.remove(gone));
  cancellation.add(() => told.push("last"));
  cancellation.remove(gone);
  cancellation.cancel(new GatewayError("client_closed"));
  expect(told).toEqual(["last"]);
});
