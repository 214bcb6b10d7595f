/**
 * Guarantee: what a cloud refuses stays between it and the gateway. Its words and our logins reach no client, a refused beta costs one
 * retry and is remembered, bytes stay as they are where both ends speak alike, and a client's own Google token goes to Google alone.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { awsError } from "../support/fake-bedrock.ts";
import type { BedrockBehaviour } from "../support/fake-bedrock.ts";
import { azureError } from "../support/fake-foundry.ts";
import { googleError } from "../support/fake-vertex.ts";
import { billedSince, canary, canaryPattern, clouds, dueNanoUsd, envelopes, logins, model, nanoUsdOf, places, readError, readStream, startCloudStage, wholeStream, type Action, type Call, type CloudStage, type Envelope, type PlaceName } from "./cloud-stage.ts";
import { newSession } from "./stage.ts";

let stage: CloudStage;
beforeAll(async () => void (stage = await startCloudStage()));
afterAll(() => stage.close());

type Cloud = Exclude<PlaceName, "anthropic">;
const actions: readonly Action[] = ["stream", "plain", "count"];

/** An error of a cloud's front, in its own shape, full of words that nobody may read. */
function front(cloud: Cloud, status: number, kind: string): BedrockBehaviour {
  if (cloud === "bedrock") return { front: { status, body: { message: `${kind} ${canary}`, Message: canary } }, headers: awsError(kind, status, "").headers };
  return { front: { status, body: cloud === "vertex" ? googleError(status, kind, canary, [{ "@type": canary, reason: canary }]) : azureError(kind, canary) } };
}

const rawPage = `HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: ${canary.length}\r\nx-canary: ${canary}\r\nconnection: close\r\n\r\n${canary}`;

/** Cloud, what it does, and the status that the client is told. */
const refusals: readonly (readonly [Cloud, string, BedrockBehaviour, number])[] = [
  ["bedrock", "throttles", front("bedrock", 429, "ThrottlingException"), 429],
  ["bedrock", "has no capacity", front("bedrock", 503, "ServiceUnavailableException"), 529],
  ["bedrock", "denies a permission", front("bedrock", 403, "AccessDeniedException"), 503],
  ["bedrock", "does not know the model", front("bedrock", 404, "ResourceNotFoundException"), 404],
  ["bedrock", "finds the request invalid", front("bedrock", 400, "ValidationException"), 400],
  ["bedrock", "says something unknown", front("bedrock", 418, "CanaryException"), 418],
  ["vertex", "has no quota left", front("vertex", 429, "RESOURCE_EXHAUSTED"), 429],
  ["vertex", "does not know the model", front("vertex", 404, "NOT_FOUND"), 404],
  ["vertex", "finds the request invalid", front("vertex", 400, "INVALID_ARGUMENT"), 400],
  ["vertex", "fails", front("vertex", 500, "INTERNAL"), 500],
  ["foundry", "limits the rate", front("foundry", 429, "RateLimitReached"), 429],
  ["foundry", "has no such deployment", front("foundry", 404, "DeploymentNotFound"), 404],
  ["foundry", "filters the content", front("foundry", 400, "content_filter"), 400],
  ["foundry", "fails", front("foundry", 500, "InternalServerError"), 500],
  ...clouds.flatMap((cloud) => [
    [cloud, "is not there behind some proxy", { raw: rawPage }, 502] as const,
    [cloud, "has another error of the model's", { status: 529, message: canary }, 529] as const,
    [cloud, "has an error of the model's that is none of the request's", { status: 500, message: canary }, 500] as const,
  ]),
];

describe.each(envelopes)("to a %s client", (envelope) => {
  it.each(refusals)("%s %s, and tells no word of its own", async (place, _, behaviour, status) => {
    for (const action of ["stream", "plain"] as const) {
      const call = { envelope, place, action, session: newSession() };
      const reply = await stage.sendAmid(behaviour, call);
      expect(reply.status, reply.text()).toBe(status);
      expect(readError(envelope, reply).message.length).toBeGreaterThan(10);
      const rows = await stage.rows(call.session);
      expect(rows.length).toBe(1);
      expect(rows[0]).toMatchObject({ outcome: "upstream_error", source: "none", provider: place });
      expect(JSON.stringify(rows)).not.toMatch(canaryPattern);
    }
    if (behaviour.raw === undefined) readError(envelope, await stage.sendAmid(behaviour, { envelope, place, action: "count" }));
  });

  it("an exception in a stream ends it by one error in the client's words", async () => {
    for (const [type, told] of [["throttlingException", "rate_limit_error"], ["modelStreamErrorException", "api_error"], ["validationException", "invalid_request_error"], ["canaryException", "api_error"]] as const) {
      const reply = await stage.sendAmid({ exception: { type, message: canary, at: "mid-text" } }, { envelope, place: "bedrock", action: "stream" });
      expect(reply.bytes().toString("latin1")).not.toMatch(canaryPattern);
      const { grammar, exception } = readStream(envelope, reply);
      expect(grammar).toMatchObject({ ok: true, outcome: "error" });
      if (envelope !== "bedrock") expect(grammar).toMatchObject({ error: { type: told } });
      else expect(exception!.type).toBe(type === "canaryException" ? "modelStreamErrorException" : type);
    }
  });

  it("Bedrock's silence, which has no pings, is filled with the gateway's own, between whole events of the client's form", async () => {
    const { bedrock } = stage.fakes;
    bedrock.behave(() => ({ text: "word ".repeat(40), pings: 0, fault: { at: "mid-text", does: "pause", ms: 2_500 } }));
    const reply = await stage.send({ envelope, place: "bedrock", action: "stream" });
    bedrock.behave(() => undefined);
    const { text, events } = wholeStream(envelope, reply);
    expect(text).toBe("word ".repeat(40));
    expect(events.filter(({ event }) => event === "ping").length).toBeGreaterThan(0);
  });

  it.each([
    ["bedrock", front("bedrock", 403, "UnrecognizedClientException")],
    ["bedrock", front("bedrock", 403, "ExpiredTokenException")],
    ["vertex", front("vertex", 401, "UNAUTHENTICATED")],
    ["vertex", front("vertex", 403, "PERMISSION_DENIED")],
    ["foundry", front("foundry", 401, "401")],
    ["foundry", front("foundry", 403, "PermissionDenied")],
  ] as const)("%s rejecting the gateway's login is the operator's to mend", async (place, behaviour) => {
    for (const action of actions) {
      const reply = await stage.sendAmid(behaviour, { envelope, place, action });
      expect([reply.status, reply.headers["x-should-retry"]]).toEqual([503, "false"]);
      expect(readError(envelope, reply).message).toBe(`The gateway's credential for ${place} was rejected; the gateway's operator has to mend that.`);
      expect(reply.text()).not.toContain("us-east");
    }
  });
});

it("a login that cannot be had is the operator's to mend", async () => {
  const call: Call = { envelope: "messages", place: "loginless-vertex", action: "plain", session: newSession() };
  stage.google.script.push(...Array.from({ length: 20 }, () => ({ status: 404, headers: { "metadata-flavor": "Google", "content-type": "text/plain" }, body: canary })));
  const before = stage.fakes.vertex.requests.length;
  const reply = await stage.send(call);
  stage.google.script.length = 0;
  expect([reply.status, reply.headers["x-should-retry"]]).toEqual([503, "false"]);
  readError("messages", reply);
  expect(stage.fakes.vertex.requests.length).toBe(before);
  expect((await stage.rows(call.session!))[0]).toMatchObject({ source: "none", outcome: "unreachable", status: 0 });
});

it.each(envelopes)("a %s client's requests are signed with AWS keys where the place has such, over the bytes that go out", async (envelope) => {
  for (const action of actions) {
    const reply = await stage.send({ envelope, place: "signed-bedrock", action, betas: ["interleaved-thinking-2025-05-14", "unknown-2026-01-01"], headers: { "x-amzn-bedrock-service-tier": "flex  and spaces", "anthropic-test-id": "größe" } });
    expect(reply.status, reply.text()).toBe(200);
    expect(stage.fakes.bedrock.requests.at(-1)!.headers["authorization"]).toContain("Credential=AKIDCLOUDSTAGE/");
  }
});

describe("a beta that a place refuses", () => {
  /** Bedrock names the field and not the beta. */
  const refusesContextManagement = (_: unknown, body: Readonly<Record<string, unknown>>): BedrockBehaviour | undefined =>
    body["context_management"] === undefined ? undefined : { front: { status: 400, body: { message: "context_management: Extra inputs are not permitted" } }, headers: awsError("ValidationException", 400, "").headers };
  const good = "interleaved-thinking-2025-05-14";
  const cases: readonly (readonly [Cloud, Envelope, string, Readonly<Record<string, unknown>>, readonly string[]])[] = [
    ["vertex", "messages", "refused-here-2026-01-01", {}, ["beta:refused-here-2026-01-01"]],
    ["foundry", "vertex", "refused-here-2026-01-01", {}, ["beta:refused-here-2026-01-01"]],
    ["bedrock", "messages", "context-management-2025-06-27", { context_management: { edits: [] } }, ["beta:context-management-2025-06-27", "field:context_management"]],
  ];

  it.each(cases)("%s gets the %s request once more without exactly that pair, and from then on at once", async (place, envelope, refused, fields, loss) => {
    const call = (): Call & { session: string } => ({ envelope, place, action: "stream", betas: [good, refused], fields, session: newSession() });
    const fake = stage.fakes[place];
    const behave = place === "bedrock" ? refusesContextManagement : {};
    const before = fake.requests.length;
    const first = call();
    const reply = await stage.sendAmid(behave, first);
    wholeStream(envelope, reply);
    expect(reply.headers["x-tollgate-loss"]?.split(", ")).toEqual(loss);
    const rows = await stage.rows(first.session);
    expect(rows.map(({ source, outcome, loss: taken }) => [source, outcome, taken])).toEqual([["none", "upstream_error", ""], ["reported", "completed", loss.join(", ")]]);
    expect(nanoUsdOf(rows[0]!)).toBe(0n);
    const [refusedRequest, repeated, ...more] = fake.requests.slice(before);
    expect(more).toEqual([]);
    const betasSent = (request: typeof repeated): unknown => request!.json!["anthropic_beta"] ?? request!.headers["anthropic-beta"]?.split(",");
    expect([betasSent(refusedRequest), betasSent(repeated)]).toEqual([[good, refused], [good]]);
    for (const name of Object.keys(fields)) expect([refusedRequest!.json![name], repeated!.json![name]]).toEqual([fields[name], undefined]);
    expect(repeated!.json!["messages"]).toEqual(refusedRequest!.json!["messages"]);

    const second = call();
    wholeStream(envelope, await stage.sendAmid(behave, second));
    expect(fake.requests.length).toBe(before + 3);
    expect((await stage.rows(second.session)).map(({ source, loss: taken }) => [source, taken])).toEqual([["reported", loss.join(", ")]]);
  });

  it("is the client's own to drop at Anthropic", async () => {
    const call: Call = { envelope: "messages", place: "anthropic", action: "plain", betas: ["refused-here-2026-01-01"], session: newSession() };
    const before = stage.fakes.anthropic.requests.length;
    const reply = await stage.send(call);
    expect(reply.status).toBe(400);
    expect(readError("messages", reply).message).toContain("`refused-here-2026-01-01`");
    expect(stage.fakes.anthropic.requests.length).toBe(before + 1);
    expect((await stage.rows(call.session!)).length).toBe(1);
  });

  it("is retried without when tokens are counted", async () => {
    const reply = await stage.send({ envelope: "messages", place: "recorded-foundry", action: "count", betas: [good, "refused-here-2026-01-01"] });
    expect(reply.status, reply.text()).toBe(200);
    expect(reply.headers["x-tollgate-loss"]).toBe("beta:refused-here-2026-01-01");
  });

  it("that the request never held is not held against anyone else's", async () => {
    // A field without its beta is that client's mistake.
    const careless = { envelope: "messages", place: "recorded-bedrock", action: "plain", fields: { context_management: { edits: [] } } } as const;
    const fake = stage.fakes.bedrock;
    const before = fake.requests.length;
    const reply = await stage.sendAmid(refusesContextManagement, careless);
    expect([reply.status, fake.requests.length]).toEqual([400, before + 1]);
    const careful = await stage.send({ ...careless, betas: ["context-management-2025-06-27"] });
    expect([careful.status, careful.headers["x-tollgate-loss"]]).toEqual([200, undefined]);
  });
});

it.each(["bedrock", "vertex"] as const)("betas of a %s client go under the name that each place has for them", async (envelope) => {
  const betas = ["interleaved-thinking-2025-05-14", "tool-search-tool-2025-10-19", "tool-examples-2025-10-29"];
  const tools = [{ name: "late", input_schema: { type: "object", properties: {} }, defer_loading: true }, { name: "shown", input_schema: { type: "object", properties: {} }, input_examples: [{}] }];
  for (const place of places) {
    const call: Call = { envelope, place, action: "plain", betas, fields: { tools }, session: newSession() };
    const reply = await stage.send(call);
    expect(reply.status, `${place} ${reply.text()}`).toBe(200);
    const { headers, json } = stage.fakes[place].requests.at(-1)!;
    const sent = json!["anthropic_beta"] ?? headers["anthropic-beta"]?.split(",").map((name) => name.trim());
    const isCloud = place === "bedrock" || place === "vertex";
    expect(sent).toEqual(isCloud ? betas : ["interleaved-thinking-2025-05-14", "advanced-tool-use-2025-11-20"]);
    expect(json!["tools"]).toEqual(tools);
    const loss = isCloud ? "" : "beta:tool-search-tool-2025-10-19, beta:tool-examples-2025-10-29";
    expect([reply.headers["x-tollgate-loss"] ?? "", (await stage.rows(call.session!))[0]!["loss"]]).toEqual([loss, loss]);
  }
});

it("tags and unknown betas leave in pairs where they would be refused, and are told; elsewhere they pass", async () => {
  const betas = ["request-tags-2026-05-05", "interleaved-thinking-2025-05-14", "unheard-of-2027-01-01"];
  for (const envelope of envelopes) {
    for (const place of places) {
      const call: Call = { envelope, place, action: "plain", betas, fields: { tags: { team: "x" } }, session: newSession() };
      const reply = await stage.send(call);
      expect(reply.status, `${envelope} ${place} ${reply.text()}`).toBe(200);
      const isTaken = place === "bedrock" || place === "vertex";
      // Bedrock gets only what it is known to take.
      const unheardOf = place === "bedrock" ? "beta:unheard-of-2027-01-01, " : "";
      const loss = isTaken ? `beta:request-tags-2026-05-05, ${unheardOf}field:tags` : undefined;
      expect(reply.headers["x-tollgate-loss"]).toBe(loss);
      expect((await stage.rows(call.session!))[0]!["loss"]).toBe(loss ?? "");
      expect(stage.fakes[place].requests.at(-1)!.json!["tags"]).toEqual(isTaken ? undefined : { team: "x" });
      expect(JSON.stringify(stage.fakes[place].requests.at(-1)).includes("unheard-of")).toBe(place !== "bedrock");
    }
  }
});

it("a field that may not be dropped is refused by its name, where a place is known not to have it and where it says so", async () => {
  const beta = "dangerous-tool-use-2026-05-05";
  const asked = { envelope: "messages", action: "plain", betas: [beta], fields: { safeguards: {} } } as const;
  const told = { type: "invalid_request_error", message: "safeguards: this field cannot be served by the model's provider here. Send the request without safeguards." };
  const counts = clouds.map((place) => stage.fakes[place].requests.length);
  const reply = await stage.send({ ...asked, place: "bedrock" });
  expect([reply.status, readError("messages", reply)]).toEqual([400, told]);
  for (const place of ["vertex", "foundry"] as const) {
    expect((await stage.send({ ...asked, place })).status).toBe(200);
    const behaviour = { status: 400, message: `Unexpected value(s) \`${beta}\` for the \`anthropic-beta\` header.` };
    const refused = await stage.sendAmid(behaviour, { ...asked, place: `recorded-${place}` });
    expect([refused.status, readError("messages", refused)]).toEqual([400, told]);
  }
  expect(clouds.map((place, index) => stage.fakes[place].requests.length - counts[index]!)).toEqual([0, 2, 2]);
  // By its real name Bedrock takes it as well.
  expect((await stage.send({ ...asked, place: "bedrock", betas: ["dangerous-tool-use-2026-09-03"] })).status).toBe(200);
  expect(stage.fakes.bedrock.requests.at(-1)!.json).toMatchObject({ safeguards: {}, anthropic_beta: ["dangerous-tool-use-2026-09-03"] });
});

it.each(envelopes)("a %s client is served by the last of four places when the others fail, at one row each", async (envelope) => {
  const call: Call = { envelope, place: "all", action: "stream", session: newSession() };
  stage.fakes.bedrock.behave(() => front("bedrock", 429, "ThrottlingException"));
  stage.fakes.vertex.behave(() => front("vertex", 401, "UNAUTHENTICATED"));
  stage.fakes.foundry.behave(() => ({ fault: { at: "connect", does: "destroy" } }));
  const reply = await stage.send(call);
  for (const cloud of clouds) stage.fakes[cloud].behave(() => undefined);
  expect(wholeStream(envelope, reply).text).toContain("Hello");
  const rows = await stage.rows(call.session!);
  expect(rows.map(({ provider, source, outcome }) => [provider, source, outcome])).toEqual([
    ["bedrock", "none", "upstream_error"], ["vertex", "none", "upstream_error"], ["foundry", "unresolved", "broken"], ["anthropic", "reported", "completed"],
  ]);
});

describe("where both ends speak alike", () => {
  /** As no serialiser would write it. */
  const rest = '"max_tokens" : 64,\n\t"messages":[ {"content":"H\\u00e9llo \\/ 測量","role":"user"} ] , "metadata":{"user_id":"u\\u0031"}';
  const bodies: readonly (readonly [Envelope, PlaceName, Action, string])[] = [
    ["bedrock", "bedrock", "stream", `{ "anthropic_version":"bedrock-2023-05-31", "anthropic_beta" : ["interleaved-thinking-2025-05-14"], ${rest} }`],
    ["bedrock", "bedrock", "plain", `{ "anthropic_version":"bedrock-2023-05-31", ${rest} }`],
    ["vertex", "vertex", "stream", `{ ${rest} , "stream" : true,"anthropic_version": "vertex-2023-10-16"}`],
    ["vertex", "vertex", "plain", `{ ${rest}, "anthropic_version": "vertex-2023-10-16" }`],
  ];

  it.each(bodies)("a %s client and %s, %s: the bytes pass both ways", async (envelope, place, action, body) => {
    const session = newSession();
    const reply = await stage.sendAmid({ text: "größe 測量 ".repeat(40), splitBytes: [7, 1, 300] }, { envelope, place: `recorded-${place}`, action, body, session });
    expect(reply.status, reply.text()).toBe(200);
    const sent = stage.fakes[place].requests.at(-1)!;
    expect(sent.body.equals(Buffer.from(body))).toBe(true);
    expect(stage.recorders[place].reply(session).length).toBeGreaterThan(500);
    expect(reply.bytes().equals(stage.recorders[place].reply(session))).toBe(true);
    // What the URL names is the target's.
    if (place === "vertex") expect(sent.url).toMatch(new RegExp(`^/v1/projects/fake-project/locations/us-east5/publishers/anthropic/models/${model}:`));
    else expect(sent.url).toMatch(new RegExp(`^/model/us\\.anthropic\\.${model}/`));
    expect(JSON.stringify(sent.headers)).not.toContain(stage.key);
  });
});

describe("a client's own Google token", () => {
  const bearer = `Bearer ${logins.clientsGoogle}`;
  const call: Call = { envelope: "vertex", place: "own-google", action: "plain" };

  it.each([
    ["x-litellm-api-key", (key: string) => ({ "x-litellm-api-key": key })],
    ["Proxy-Authorization", (key: string) => ({ "x-litellm-api-key": null, "proxy-authorization": `Bearer ${key}` })],
  ] as const)("goes to Google for the project and location it names, with the Tollgate key in %s going nowhere", async (_, keyHeaders) => {
    for (const action of actions) {
      const session = newSession();
      const reply = await stage.send({ ...call, action, session, headers: { authorization: bearer, "x-goog-user-project": "clients-quota", ...keyHeaders(stage.key) } });
      expect(reply.status, reply.text()).toBe(200);
      const sent = stage.clientsVertex.requests.at(-1)!;
      expect([sent.headers["authorization"], sent.headers["x-goog-user-project"]]).toEqual([bearer, "clients-quota"]);
      expect(sent.url).toContain("/projects/clients-project/locations/europe-west1/");
      // That it reached nobody else, and the key nobody at all, every fake checks for itself.
      expect(JSON.stringify([sent.headers, sent.url, sent.body.toString()])).not.toContain(stage.key);
      if (action !== "count") expect((await stage.rows(session))[0]).toMatchObject({ source: "reported", provider: "own-google" });
    }
  });

  it.each([["europe-west1", "vertex/claude-opus-4-8?regional"], ["eu", "vertex/claude-opus-4-8?regional"], ["global", "vertex/claude-opus-4-8"]])("is billed at the price of the location that its URL names: %s", async (location, priceRow) => {
    const session = newSession();
    const before = stage.clientsVertex.bill().length;
    expect((await stage.send({ ...call, location, session, headers: { authorization: bearer } })).status).toBe(200);
    const [row] = await stage.rows(session);
    expect(row).toMatchObject({ price_row: priceRow, is_provisional: false });
    const due = dueNanoUsd(location === "global" ? "anthropic" : "vertex", billedSince(stage.clientsVertex, before)[0]!);
    expect(nanoUsdOf(row!)).toBe(due);
  });

  it("is asked for when it is missing", async () => {
    const before = stage.clientsVertex.requests.length;
    const reply = await stage.send(call);
    expect([reply.status, reply.headers["x-should-retry"]]).toEqual([401, "false"]);
    expect(readError("vertex", reply)).toMatchObject({ type: "authentication_error", message: "This model takes your own provider login, and the request carried none beside the Tollgate key." });
    expect(stage.clientsVertex.requests.length).toBe(before);
  });

  it("without a Tollgate key beside it is told where the key goes, before any place is asked", async () => {
    const before = stage.clientsVertex.requests.length;
    for (const action of actions) {
      const reply = await stage.send({ ...call, action, headers: { authorization: bearer, "x-litellm-api-key": null } });
      expect([reply.status, reply.headers["x-should-retry"]]).toEqual([401, "false"]);
      const { type, message } = readError("vertex", reply);
      expect([type, message.includes('ANTHROPIC_CUSTOM_HEADERS="x-litellm-api-key: YOUR_KEY"')]).toEqual(["authentication_error", true]);
    }
    const bedrock = await stage.send({ envelope: "bedrock", place: "bedrock", action: "plain", headers: { authorization: "Bearer bedrock-api-key-of-a-client", "x-litellm-api-key": null } });
    expect([bedrock.status, readError("bedrock", bedrock).message.includes("ANTHROPIC_CUSTOM_HEADERS")]).toEqual([401, true]);
    const wrongKey = await stage.send({ ...call, headers: { authorization: "Bearer sk-nobody-0000000000000000", "x-litellm-api-key": null } });
    expect(readError("vertex", wrongKey).message).toBe("The key that was sent is not valid here: it is unknown, expired, blocked or revoked.");
    expect(stage.clientsVertex.requests.length).toBe(before);
  });

  it("reaches no place with a login of the gateway's", async () => {
    for (const place of places) {
      expect((await stage.send({ ...call, place, headers: { authorization: bearer, "x-goog-user-project": "clients-quota" } })).status).toBe(200);
      expect(stage.fakes[place].requests.at(-1)!.headers).not.toHaveProperty("x-goog-user-project");
    }
  });

  it("that Google refuses is told to the client in plain words, as its own", async () => {
    const reply = await stage.send({ ...call, headers: { authorization: "Bearer ya29.expired-token-canary" } });
    expect(reply.status).toBe(401);
    expect(readError("vertex", reply).message).toContain("your Google login");
  });
});
