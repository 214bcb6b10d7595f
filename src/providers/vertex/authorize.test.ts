// Guarantee: the gateway's own token goes out only when the target does not take the client's; a project that is open is filled from
// the login; a login that fails is told as the gateway's or the way's fault, and refusals do not cause a flood of logins.
import { describe, expect, it } from "vitest";
import { FakeGoogleLogin } from "../../../test/support/fake-google-login.ts";
import type { CredentialRuntime } from "../../credentials/runtime.ts";
import { manualClock, type ManualClock } from "../../kernel/clock.ts";
import { isGatewayError } from "../../kernel/gateway-error.ts";
import { headerValue } from "../../wire/headers.ts";
import type { AuthorizeContext, UpstreamRequest } from "../provider.ts";
import type { VertexCredentials } from "./authorize.ts";
import type { VertexSettings } from "./config.ts";
import { vertex } from "./index.ts";

const request: UpstreamRequest = { method: "POST", path: "/v1/projects/{project}/locations/global/publishers/anthropic/models/m:rawPredict", headers: ["x", "y"], body: Buffer.alloc(0) };

function world(fields: object = {}): { fake: FakeGoogleLogin; clock: ManualClock; settings: VertexSettings; context: (client?: AuthorizeContext<unknown>["client"]) => AuthorizeContext<VertexCredentials> } {
  const clock = manualClock(Date.UTC(2026, 10, 23));
  const fake = new FakeGoogleLogin({ now: () => clock.now() });
  const settings = vertex.settings.parse({ credentials: fake.account.file, ...fields });
  const runtime: CredentialRuntime = {
    clock, env: {}, homeFolder: "/nowhere",
    readFile: () => Promise.reject(new Error("ENOENT")),
    modifiedAtMs: () => Promise.resolve(undefined),
    request: async ({ method, origin, path, headers, body }) => {
      const named = Object.fromEntries(headers.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), headers[index + 1]!]] : [])));
      const answer = fake.handle({ method, origin, path, headers: named, body: body?.toString() ?? "" });
      return { status: answer.status, headers: Object.entries(answer.headers).flat(), body: Buffer.from(answer.body) };
    },
  };
  const credentials = vertex.login!(settings, runtime);
  return { fake, clock, settings, context: (client) => ({ credentials, client, host: "h", nowMs: clock.now() }) };
}

const codeOf = async (act: Promise<unknown>): Promise<unknown> => act.then(() => "no fault", (fault: unknown) => (isGatewayError(fault) ? fault.code : fault));

describe("the gateway's own login", () => {
  it("adds a live bearer last and fills the open project", async () => {
    const { fake, settings, context } = world({ quota_project: "quota" });
    const sent = await vertex.authorize(request, settings, context());
    expect(sent.headers.slice(0, 2)).toEqual(["x", "y"]);
    expect(fake.liveToken(headerValue(sent.headers, "authorization")!.replace("Bearer ", ""))?.principal).toBe(fake.account.clientEmail);
    expect([headerValue(sent.headers, "x-goog-user-project"), sent.path.split("/")[3]]).toEqual(["quota", "fake-project"]);
  });

  it("is not asked for at all when the client's is used", async () => {
    const { fake, settings, context } = world();
    const named = { ...request, path: request.path.replace("{project}", "p") };
    const sent = await vertex.authorize(named, settings, context({ header: "authorization", value: "Bearer theirs" }));
    expect([sent.headers, fake.calls]).toEqual([["x", "y", "authorization", "Bearer theirs"], []]);
    expect(await codeOf(Promise.resolve().then(() => vertex.authorize(request, settings, context({ header: "authorization", value: "Bearer theirs" }))))).toBe("gateway_credential_rejected");
  });

  it("that is refused, or not to be had just now, is told so", async () => {
    const refused = world();
    refused.fake.script.push({ status: 400, headers: {}, body: '{"error":"invalid_grant"}' });
    expect(await codeOf(Promise.resolve(vertex.authorize(request, refused.settings, refused.context())))).toBe("gateway_credential_rejected");
    const broken = world();
    broken.fake.script.push({ status: 503, headers: {}, body: "" });
    expect(await codeOf(Promise.resolve(vertex.authorize(request, broken.settings, broken.context())))).toBe("upstream_unreachable");
    const other = { ...broken.context(), credentials: { ...broken.context().credentials, source: { get: () => Promise.reject(new TypeError("bug")), refused: () => undefined } } };
    expect(await codeOf(Promise.resolve(vertex.authorize(request, broken.settings, other)))).toBeInstanceOf(TypeError);
    });

  it("is renewed after a refusal, and not at each one of many", async () => {
    const { fake, clock, settings, context } = world();
    const { credentials } = context();
    const call = async (): Promise<void> => void (await vertex.authorize(request, settings, context()));
    await call();
    clock.advance(61_000);
    for (let turn = 0; turn < 5; turn++) {
      vertex.refused!(credentials);
      await call();
    }
    expect(fake.calls).toHaveLength(2);
    clock.advance(61_000);
    vertex.refused!(credentials);
    await call();
    expect(fake.calls).toHaveLength(3);
  });
});
