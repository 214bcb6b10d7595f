// Guarantee: a name resolves in one fixed order, to the upstream name the operator wrote, and hints never name what the
// caller may not see.
import { describe, expect, it } from "vitest";
import { plainModel, plainTarget, type ModelConfig, type TargetConfig } from "../config/gateway-config.ts";
import { createRouteTable, nearestNames } from "./route.ts";

function target(id: string, model: string): TargetConfig {
  return { id, provider: "anthropic", model, credential: "provider", priceModel: undefined, price: undefined, headers: new Map(), timeouts: {}, ...plainTarget };
}

function model(name: string, upstream: string, aliases: readonly string[] = []): ModelConfig {
  return { name, aliases, accessGroups: [], targets: [target(`id-${name}`, upstream)], ...plainModel };
}

const table = createRouteTable({
  models: [
    model("*", "*"),
    model("claude-*", "claude-*"),
    model("claude-opus-*", "special-opus-*"),
    model("claude-opus-4-8", "claude-opus-4-8-exact", ["opus", "big"]),
    model("anthropic/*", "*"),
    model("team-*-fast", "claude-*-speedy"),
  ],
  modelAliases: new Map([
    ["latest", { model: "claude-opus-4-8", isHidden: false }],
    ["secret-alias", { model: "opus", isHidden: true }],
  ]),
});

function upstream(name: string): string | undefined {
  return table.resolve(name)?.targets[0]?.upstreamModel;
}

describe("createRouteTable", () => {
  it.each([
    ["claude-opus-4-8", "claude-opus-4-8-exact"],
    ["opus", "claude-opus-4-8-exact"],
    ["latest", "claude-opus-4-8-exact"],
    ["secret-alias", "claude-opus-4-8-exact"],
    ["id-claude-opus-4-8", "claude-opus-4-8-exact"],
    ["claude-opus-5", "special-opus-5"],
    ["claude-sonnet-5", "claude-sonnet-5"],
    ["anthropic/claude-x", "claude-x"],
    ["team-blue-fast", "claude-blue-speedy"],
    ["anything", "anything"],
  ])("resolves %s to %s", (name, expected) => {
    expect(upstream(name)).toBe(expected);
  });

  it("counts a model under its own name, whatever alias it was asked for by", () => {
    for (const name of ["claude-opus-4-8", "opus", "latest", "secret-alias", "id-claude-opus-4-8", "big[1m]"]) expect(table.resolve(name)?.publicName).toBe("claude-opus-4-8");
    expect(table.resolve("opus")?.rightsNames).toEqual(["opus", "claude-opus-4-8"]);
    expect(table.resolve("claude-sonnet-5")?.publicName).toBe("claude-sonnet-5");
  });

  it("takes the name without the long-context suffix when only that is served", () => {
    const only = createRouteTable({ models: [model("claude-opus-4-8", "x")], modelAliases: new Map() });
    expect(only.resolve("claude-opus-4-8[1m]")?.publicName).toBe("claude-opus-4-8");
    expect(only.resolve("claude-opus-4")).toBeUndefined();
  });

  it("finds the name without a date for a cloud's id, which has one, and one with the date before it", () => {
    const undated = [model("claude-sonnet-4-5", "short")];
    const ids = ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5@20250929", "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0"];
    const only = createRouteTable({ models: undated, modelAliases: new Map() });
    const both = createRouteTable({ models: [...undated, model("claude-sonnet-4-5-20250929", "long")], modelAliases: new Map() });
    for (const id of ids) {
      expect(only.resolveCloudName(id)?.rightsNames).toEqual(["claude-sonnet-4-5"]);
      expect(both.resolveCloudName(id)?.publicName).toBe("claude-sonnet-4-5-20250929");
    }
    expect(only.resolveCloudName("us.anthropic.claude-opus-4-5-20251101-v1:0")).toBeUndefined();
  });

  it("finds what a name stands for that nothing answers to: a provider's prefix at its own targets, a cloud's id, a date", () => {
    const at = (provider: string): TargetConfig => ({ ...target(`at-${provider}`, "x"), provider });
    const served: ModelConfig = { ...model("claude-sonnet-4-5", "x"), targets: [at("direct"), at("aws")] };
    const providers = new Map([["direct", { name: "direct", kind: "anthropic", settings: {} }], ["aws", { name: "aws", kind: "bedrock", settings: {} }]]);
    const routes = createRouteTable({ models: [served, model("claude-opus-4-5-20251101", "dated")], modelAliases: new Map(), providers });
    const targetsOf = (name: string): unknown => routes.resolve(name)?.targets.map((each) => each.target.provider);
    expect(targetsOf("anthropic/claude-sonnet-4-5")).toEqual(["direct"]);
    expect(targetsOf("bedrock/claude-sonnet-4-5[1m]")).toEqual(["aws"]);
    expect(targetsOf("bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0")).toEqual(["aws"]);
    for (const name of ["claude-sonnet-4-5-20250929", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5@20250929"]) expect(targetsOf(name)).toEqual(["direct", "aws"]);
    for (const name of ["vertex_ai/claude-sonnet-4-5", "openai/claude-sonnet-4-5", "anthropic/claude-none", "claude-opus-4-5", "anthropic/", "anthropic/anthropic/claude-none"]) expect(routes.resolve(name)).toBeUndefined();
    // A key that may use `bedrock/*` may not use every model behind that prefix.
    expect(routes.resolve("bedrock/claude-sonnet-4-5")?.rightsNames).toEqual(["claude-sonnet-4-5"]);
    expect(routes.resolve("claude-sonnet-4-5-20250929")?.rightsNames).toEqual(["claude-sonnet-4-5"]);
  });

  it("lists exact names, aliases and the known names that patterns serve, but no pattern and no hidden alias", () => {
    const listed = createRouteTable({ models: [model("claude-*", "claude-*"), model("mine", "m", ["my"])], modelAliases: new Map([["a", { model: "mine", isHidden: false }], ["h", { model: "mine", isHidden: true }]]) });
    expect(listed.list(["claude-opus-5", "gpt-9"]).map(({ publicName }) => publicName)).toEqual(["mine", "my", "a", "claude-opus-5"]);
  });
});

describe("nearestNames", () => {
  it("gives the nearest names first and nothing far off", () => {
    expect(nearestNames("claude-opus-5.5", ["claude-opus-5-5", "claude-opus-5", "zzz"])).toEqual(["claude-opus-5-5", "claude-opus-5"]);
    expect(nearestNames("qqqqqqqqqqqqqqqqqqqq", ["claude-opus-5-5"])).toEqual([]);
  });
});
