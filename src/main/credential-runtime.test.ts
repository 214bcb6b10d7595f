/** Guarantee: an operator's credential program is run with the gateway's environment, and nothing it prints is in a fault. */
import { expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { createCredentialRuntime } from "./credential-runtime.ts";

const runtime = createCredentialRuntime(systemClock, { PATH: process.env["PATH"], TEAM: "platform" }, { login: () => Promise.reject(new Error("no network here")) });

it("gives what the program prints", async () => {
  expect(await runtime.run?.("echo $TEAM")).toBe("platform\n");
});

it("tells how a program ended, and not what it said", async () => {
  const fault = await runtime.run?.("echo secret-canary; echo secret-canary >&2; exit 3").catch((thrown: unknown) => thrown);
  expect(String(fault)).toContain("code 3");
  expect(String(fault)).not.toContain("secret-canary");
});
