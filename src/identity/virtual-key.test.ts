// Guarantee: keys have enough chance in them, hash as LiteLLM's do, and show themselves in one place only.
import { createHash, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isGatewayError } from "../kernel/gateway-error.ts";
import { Secret } from "../kernel/secret.ts";
import { acceptCustomKey, customKeyLengthMax, displayName, encodeAlphanumeric, hashKey, hashText, mintKey, showOnce } from "./virtual-key.ts";

describe("mintKey", () => {
  it("makes sk- and 43 letters and digits, each time others", () => {
    const keys = Array.from({ length: 200 }, () => showOnce(mintKey()));
    for (const key of keys) expect(key).toMatch(/^sk-[0-9A-Za-z]{43}$/);
    expect(new Set(keys).size).toBe(200);
  });

  it("encodes 256 bits without loss", () => {
    const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        const text = encodeAlphanumeric(Buffer.from(bytes));
        const value = text.split("").reduce((sum, character) => sum * 62n + BigInt(alphabet.indexOf(character)), 0n);
        expect(value.toString(16).padStart(64, "0")).toBe(Buffer.from(bytes).toString("hex"));
      }),
    );
  });
});

describe("hashKey", () => {
  it("is the lower-case hex SHA-256 of the whole key", () => {
    const text = `sk-${randomBytes(20).toString("hex")}`;
    expect(hashKey(new Secret(text))).toBe(createHash("sha256").update(text).digest("hex"));
    expect(hashText(text)).toBe(hashKey(new Secret(text)));
  });
});

describe("displayName", () => {
  it("shows the last four characters and nothing else", () => {
    expect(displayName(new Secret("sk-abcdefghijklmnopqrstuvWXYZ"))).toBe("sk-...WXYZ");
  });
});

describe("acceptCustomKey", () => {
  it("takes a key of the right form as it is", () => {
    expect(showOnce(acceptCustomKey("sk-my_own-key-0123456789abc"))).toBe("sk-my_own-key-0123456789abc");
  });

  it.each([
    ["without the prefix", "pk-0123456789abcdefghijklmn"],
    ["too short", "sk-0123456789abcdefghij"],
    ["too long", `sk-0123456789${"a".repeat(customKeyLengthMax)}`],
    ["with a space", "sk-0123456789 abcdefghijkl"],
    ["with a line break at its end", "sk-0123456789abcdefghijkl\n"],
    ["made of few characters", "sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
    ["empty", ""],
  ])("refuses one %s, and does not repeat it", (_, text) => {
    try {
      acceptCustomKey(text);
      expect.unreachable();
    } catch (fault) {
      expect(isGatewayError(fault) && fault.code).toBe("client_field_invalid");
      if (text.length > 5) expect(JSON.stringify((fault as { details: unknown }).details)).not.toContain(text.trim());
    }
  });
});
