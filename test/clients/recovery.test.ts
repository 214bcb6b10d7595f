/**
 * Guarantee: Claude Code's self-repair works through the gateway. The client reads the provider's wording, mends its request
 * and asks again without a word to the developer; that needs status and text unchanged, and header and body that stay together.
 */
import { describe, expect, it } from "vitest";
import { newest } from "./clients.ts";
import { scene, type SceneOptions } from "./stage.ts";
import { isMainTurn, once, toolResults, working } from "./turns.ts";
import type { JsonObject } from "../support/fake-anthropic-types.ts";

const text = "mended";

interface Wording {
  readonly name: string;
  readonly message: string;
  /** What the second request does differently. */
  readonly mended: (body: JsonObject, betas: string) => boolean;
}

/** The client's watchdog at its shortest, ten seconds without a byte; it needs all three. */
const shortWatchdog = { CLAUDE_ENABLE_BYTE_WATCHDOG: "1", CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS: "10000", CLAUDE_STREAM_IDLE_TIMEOUT_MS: "10000" };

/** Said once by the provider although the request is in order; the client cannot know. */
const wordings: readonly Wording[] = [
  { name: "role system", message: "messages.1: role 'system' is not supported on this model", mended: (body) => !JSON.stringify(body["messages"]).includes('"role":"system"') },
  { name: "adaptive thinking", message: "adaptive thinking is not supported on this model", mended: (body) => JSON.stringify(body["thinking"]).includes('"type":"enabled"') },
  {
    name: "an unexpected beta",
    message: "Unexpected value(s) `thinking-token-count-2026-05-13` for the `anthropic-beta` header. Please consult our documentation at docs.anthropic.com or try again without the header.",
    mended: (_body, betas) => !betas.includes("thinking-token-count"),
  },
  { name: "context_management", message: "context_management: Extra inputs are not permitted", mended: (body, betas) => body["context_management"] === undefined && !betas.includes("context-management") },
  { name: "effort", message: "This model does not support the effort parameter.", mended: (body) => body["output_config"] === undefined },
  {
    name: "too many output tokens",
    message: "input length and `max_tokens` exceed context limit: 180000 + 128000 > 200000, decrease input length or `max_tokens` and try again",
    mended: (body) => Number(body["max_tokens"]) < 20_000 + 1,
  },
  { name: "the contract's own token", message: "capability_rejected: mid_conv_system", mended: (body) => !JSON.stringify(body["messages"]).includes('"role":"system"') },
];

describe(`Claude Code ${newest.version} mends its request`, () => {
  it.each(wordings)("when the provider complains about $name", async ({ message, mended }) => {
    await scene({}, async (stage) => {
      stage.fake.script(once({ status: 400, message }, text));
      const run = await stage.run(newest, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key() } });
      expect(run).toMatchObject({ exitCode: 0, stdout: `${text}\n` });
      expect(stage.received()).toHaveLength(2);
      const [first, second] = stage.received();
      expect(mended(first!.json!, first!.headers["anthropic-beta"]!)).toBe(false);
      expect(mended(second!.json!, second!.headers["anthropic-beta"]!)).toBe(true);
    });
  });

  it("when the provider finds a thinking signature invalid", async () => {
    await scene({}, async (stage) => {
      const work = working({ command: "echo done", calls: 1, text, isThinking: true });
      const complain = once({ status: 400, message: "messages.2.content.0: Invalid `signature` in `thinking` block" }, "", (body) => toolResults(body) === 1);
      let hasComplained = false;
      stage.fake.script((request, body) => {
        if (hasComplained || toolResults(body) === 0) return work(request, body);
        hasComplained = true;
        return complain(request, body);
      });
      const run = await stage.run(newest, { prompt: "Work.", args: ["--allowedTools", "Bash"], env: { ANTHROPIC_AUTH_TOKEN: await stage.key() } });
      expect(run).toMatchObject({ exitCode: 0, stdout: `${text}\n` });
      const [, refused, healed] = stage.received();
      expect(refused?.body.includes('"signature"')).toBe(true);
      expect(healed?.body.includes('"signature"')).toBe(false);
    });
  });

  it.each([
    { name: "role system", fake: { acceptsSystemRole: false }, rejection: /Unexpected role "system"/ },
    { name: "adaptive thinking", fake: { acceptsAdaptiveThinking: false }, rejection: /adaptive thinking is not supported/ },
    { name: "the beta of context management", fake: { rejectBetas: ["context-management-2025-06-27"] }, rejection: /Unexpected value\(s\) `context-management/ },
  ] satisfies ({ name: string; rejection: RegExp } & SceneOptions)[])("for a provider that truly does not take $name", async ({ fake, rejection }) => {
    await scene({ fake }, async (stage) => {
      stage.fake.setDefault({ text });
      const run = await stage.run(newest, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key() } });
      expect(run).toMatchObject({ exitCode: 0, stdout: `${text}\n` });
      stage.expect({ rejections: [rejection] });
    });
  });
});

describe(`Claude Code ${newest.version} asks again`, () => {
  it.each([
    { name: "an overload with a short retry-after", behaviour: { status: 529, headers: { "retry-after": "1" } } },
    { name: "a rate limit", behaviour: { status: 429, headers: { "retry-after": "1" } } },
    { name: "a page instead of an answer", behaviour: { page: "html" } },
    { name: "an error as the stream's first event", behaviour: { isErrorFirst: true } },
  ] as const)("after $name", async ({ behaviour }) => {
    await scene({}, async (stage) => {
      stage.fake.script(once(behaviour, text));
      const run = await stage.run(newest, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key() } });
      expect(run).toMatchObject({ exitCode: 0, stdout: `${text}\n` });
      expect(stage.sent()).toHaveLength(2);
      // A page under status 200 may have cost something: nobody can tell, so it is booked as a guess.
      if ("page" in behaviour) stage.expect({ estimatedRows: 1 });
    });
  });

  it("after a stream that falls silent, which the client gives up by its own watchdog", async () => {
    await scene({}, async (stage) => {
      stage.fake.script(once({ fault: { at: "first-event", does: "stall" } }, text));
      const run = await stage.run(newest, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key(), ...shortWatchdog } });
      expect(run).toMatchObject({ exitCode: 0, stdout: `${text}\n` });
      expect(run.durationMs).toBeGreaterThan(9_000);
      // The gateway leaves the provider when the client leaves: what was billed for the silent answer is an estimate.
      stage.expect({ cutAnswers: 1 });
    });
  });

  it("not while the gateway's pings tell it that a silent provider is still at work", async () => {
    await scene({ config: ["timeouts: {ping: 3s}"] }, async (stage) => {
      stage.fake.script((_request, body) => (isMainTurn(body) ? { text, pings: 0, fault: { at: "first-event", does: "pause", ms: 13_000 } } : { text }));
      const run = await stage.run(newest, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key(), ...shortWatchdog } });
      expect(run).toMatchObject({ exitCode: 0, stdout: `${text}\n` });
      expect(stage.sent()).toHaveLength(1);
    });
  });
});
