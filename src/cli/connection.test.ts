// Guarantees that a command speaks to the gateway that was named and to no address made up from a slip, and that an
// alias or id always means one key.
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { GatewayClient } from "./client.ts";
import { parseGatewayUrl } from "./connection.ts";
import { resolveKey } from "./key-reference.ts";
import { exampleModel, renderFirstStart, renderStart } from "./first-start.ts";
import { Secret } from "../kernel/secret.ts";
import type { GatewayConfig, ModelConfig } from "../config/gateway-config.ts";

describe("parseGatewayUrl", () => {
  it.each([
    ["http://127.0.0.1:4000", "http://127.0.0.1:4000"],
    [" https://gw.example.com/ ", "https://gw.example.com"],
    ["https://example.com/tollgate/", "https://example.com/tollgate"],
  ])("reads %j as %s", (text, expected) => {
    expect(parseGatewayUrl(text, "--url")).toBe(expected);
  });

  it.each(["localhost:4000", "4000", "ftp://x", "http://user:pass@x", "http://x/v1", "http://x/v1/messages", "http://x?key=1"])("refuses %j and names its source", (text) => {
    expect(() => parseGatewayUrl(text, "TOLLGATE_URL")).toThrow(/^TOLLGATE_URL/);
  });

  it("does not repeat a password in the refusal", () => {
    expect(() => parseGatewayUrl("http://user:hunter2@x", "--url")).toThrow(/^(?!.*hunter2)/);
  });
});

describe("resolveKey", () => {
  const hash = (digit: string): string => digit.repeat(63) + "0";
  const keys = [
    { token: hash("a"), key_alias: "ci" },
    { token: `ab${hash("a").slice(2)}`, key_alias: null },
    { token: hash("b"), key_alias: "twin" },
    { token: hash("c"), key_alias: "twin" },
    { token: hash("d"), key_alias: "sk-looks-like-a-key" },
  ];
  const client = { call: () => Promise.resolve({ keys, total_pages: 1 }) } as unknown as GatewayClient;

  it("takes a whole hash as it is, an alias, and the unique beginning of a hash", async () => {
    expect(await resolveKey(client, hash("e"))).toBe(hash("e"));
    expect(await resolveKey(client, "ci")).toBe(hash("a"));
    expect(await resolveKey(client, "bbbbbb")).toBe(hash("b"));
  });

  it("hashes a key here, and prefers an alias that looks like one", async () => {
    expect(await resolveKey(client, "sk-secret")).toBe(createHash("sha256").update("sk-secret").digest("hex"));
    expect(await resolveKey(client, "sk-looks-like-a-key")).toBe(hash("d"));
  });

  it("refuses what fits none or several", async () => {
    await expect(resolveKey(client, "twin")).rejects.toThrow(/fits 2 keys/);
    await expect(resolveKey(client, "nobody")).rejects.toThrow(/no key/);
    await expect(resolveKey(client, "aaaaa")).rejects.toThrow(/no key/);
  });
});

describe("exampleModel", () => {
  const models = (...names: string[]): ModelConfig[] => names.map((name) => ({ name }) as ModelConfig);

  it("names something the configuration serves", () => {
    expect(exampleModel(models("gpt", "claude-sonnet"))).toBe("claude-sonnet");
    expect(exampleModel(models("only"))).toBe("only");
    expect(exampleModel(models("claude-*"))).toBe("claude-haiku-4-5");
    expect(exampleModel(models("*"))).toBe("claude-haiku-4-5");
    expect(exampleModel(models("team/*"))).toBe("team/claude-haiku-4-5");
    expect(exampleModel([])).toBeUndefined();
  });
});

describe("the words of a start", () => {
  const config = { source: { kind: "generated", path: "" }, models: [], providers: new Map([["demo", { name: "demo", kind: "demo", settings: {} }]]) } satisfies Pick<GatewayConfig, "source" | "models" | "providers">;
  const started = { url: "http://127.0.0.1:4000", config, adminKey: new Secret("sk-admin"), adminKeyFile: "/d/admin-key", developerKey: new Secret("sk-dev"), developerKeyFile: "/d/developer-key", developerKeyState: "valid" as const };
  const plain = { style: (_: string, text: string): string => text };

  it("hold at the first start both keys, where one is kept, and the lines to paste", () => {
    const text = renderFirstStart(started, plain);
    expect(text).toMatch(/^ {2}sk-admin$/m);
    expect(text).toMatch(/\/d\/admin-key/);
    expect(text).toMatch(/^ {2}export ANTHROPIC_BASE_URL=http:\/\/127\.0\.0\.1:4000$/m);
    expect(text).toMatch(/^ {2}export ANTHROPIC_AUTH_TOKEN=sk-dev$/m);
    expect(text).toMatch(/^ {2}curl /m);
  });

  it("say that answers are simulated, and hold no key later", () => {
    const text = renderStart({ ...started, adminKey: undefined, developerKey: undefined });
    expect(text).toMatch(/simulated/);
    expect(text).not.toMatch(/sk-/);
  });

  it("tell at a later start where the developer key is, that it is no good, or how to make one", () => {
    const later = { ...started, adminKey: undefined, developerKey: undefined };
    expect(renderStart(later)).toMatch(/^The first developer key is in \/d\/developer-key; `tollgate keys create /m);
    expect(renderStart({ ...later, developerKeyState: "stale" })).toMatch(/^The developer key in \/d\/developer-key is not valid here: .* `tollgate keys create --alias NAME` makes one\.$/m);
    expect(renderStart({ ...later, developerKeyState: "none" })).toMatch(/^Developer keys are shown only when .* `tollgate keys create --alias NAME` makes one\.$/m);
  });
});
