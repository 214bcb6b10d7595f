// Guarantee: a configured name whose DNS answers with this machine or a metadata service is refused; what the operator wrote
// literally is taken at their word.
import { describe, expect, it } from "vitest";
import { mayConnect } from "./address-guard.ts";

describe("mayConnect", () => {
  it.each(["127.0.0.1", "127.8.9.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "not an address"])(
    "refuses %s behind a name",
    (address) => {
      expect(mayConnect("api.anthropic.com", address)).toBe(false);
    },
  );

  it.each(["160.79.104.10", "10.0.0.5", "192.168.1.1", "2607:6bc0::10", "fd00::1"])("allows %s behind a name", (address) => {
    expect(mayConnect("api.anthropic.com", address)).toBe(true);
  });

  it("allows literal addresses and localhost, which are the operator's word", () => {
    expect(mayConnect("127.0.0.1", "127.0.0.1")).toBe(true);
    expect(mayConnect("localhost", "::1")).toBe(true);
  });
});
