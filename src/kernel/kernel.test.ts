// Guarantee: ids sort by time, money loses nothing but by rounding up, secrets do not print.
import { inspect } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { manualClock } from "./clock.ts";
import { errorCodes } from "./error-codes.ts";
import { asGatewayError, GatewayError, isGatewayError } from "./gateway-error.ts";
import { idFloor, newId } from "./ids.ts";
import { formatUsd, nanoFromPico, nanoUsd, parseDecimal, parseUsd, picoUsd } from "./money.ts";
import { Secret } from "./secret.ts";

describe("ids", () => {
  it("grow strictly, also within a millisecond and when the clock runs backwards", () => {
    let last = "";
    for (const nowMs of [1000, 1000, 1000, 999, 1001, 5, 1_800_000_000_000, 1_800_000_000_000]) {
      for (let index = 0; index < 2_000; index++) {
        const id = newId("att", nowMs);
        expect(id > last).toBe(true);
        last = id;
      }
    }
  });

  it("sort at or after the floor of their time and before the floor of the next", () => {
    const now = 1_900_000_000_000;
    const id = newId("req", now);
    expect(id >= idFloor("req", now)).toBe(true);
    expect(id < idFloor("req", now + 1)).toBe(true);
    expect(id).toMatch(/^req_[0-9A-HJKMNP-TV-Z]{26}$/);
  });
});

describe("money", () => {
  it("rounds up once and never loses more than a nano-dollar", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 24n }), (pico) => {
        const nano = nanoFromPico(picoUsd(pico));
        expect(nano * 1000n >= pico && (nano - 1n) * 1000n < pico).toBe(true);
      }),
    );
  });

  it("prints and reads any amount without loss", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }), fc.integer({ min: 0, max: 9 }), (amount, digits) => {
        expect(parseUsd(formatUsd(nanoUsd(amount), digits))).toBe(amount);
      }),
    );
    expect(formatUsd(nanoUsd(1_500_000_000n))).toBe("1.50");
    expect(formatUsd(nanoUsd(-1n))).toBe("-0.000000001");
    expect(formatUsd(nanoUsd(0n), 0)).toBe("0");
  });

  it("reads exponents exactly, and refuses what is no decimal", () => {
    expect(parseDecimal("3e-06", 12)).toBe(3_000_000n);
    expect(parseDecimal("0.0000000375", 9)).toBe(38n);
    expect(["", "x", "1e99", "NaN", "Infinity", "1,5", "0x10", "--1"].map((text) => parseDecimal(text, 9))).toEqual(Array(8).fill(undefined));
  });
});

describe("Secret", () => {
  it("never prints, however it is turned into text", () => {
    const secret = new Secret("sk-canary");
    const printed = [String(secret), `${secret.toString()}`, JSON.stringify({ secret }), inspect({ deep: [secret] }), secret.toJSON(), Object.entries(secret).join()];
    expect(printed.join(" ")).not.toContain("canary");
    expect(secret.reveal()).toBe("sk-canary");
  });
});

describe("GatewayError", () => {
  it("is known by its marker and keeps unknown faults inside", () => {
    expect(isGatewayError(new GatewayError("client_key_missing"))).toBe(true);
    const wrapped = asGatewayError(new Error("secret inner words"));
    expect(wrapped.code).toBe("gateway_internal");
    expect(wrapped.spec.text).not.toContain("inner");
    expect(wrapped.details.internal).toMatch(/secret inner words\n +at /);
  });

  it("says where a parser failed and not on what", () => {
    const parse = (): GatewayError => {
      try {
        return JSON.parse('{"a": private words}') as never;
      } catch (error) {
        return asGatewayError(error);
      }
    };
    expect(parse().details.internal).toMatch(/^SyntaxError\n +at /);
    expect(parse().details.internal).not.toMatch(/priv/);
  });

  it("has for each code a status the client acts on, and a full sentence", () => {
    for (const spec of Object.values(errorCodes)) {
      expect(spec.status).toBeGreaterThanOrEqual(400);
      expect(spec.text).toMatch(/^[A-Z].*\.$/);
    }
  });
});

describe("manualClock", () => {
  it("fires timers in order of their due time, and only when it is moved", () => {
    const clock = manualClock(0);
    const fired: string[] = [];
    clock.after(20, () => fired.push(`after ${clock.monotonic()}`));
    const every = clock.every(15, () => fired.push(`every ${clock.monotonic()}`));
    clock.advance(31);
    every.cancel();
    clock.advance(100);
    expect(fired).toEqual(["every 15", "after 20", "every 30"]);
  });
});
