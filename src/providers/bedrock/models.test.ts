// Guarantee: a Claude name becomes the Bedrock id of that model with the profile that keeps a request nearest; ids and ARNs stay.
import { describe, expect, it } from "vitest";
import { settings } from "./config.ts";
import { destination } from "./endpoint.ts";
import { bedrockModelName, foundationModel } from "./models.ts";

describe("names", () => {
  it.each([
    ["claude-opus-5-5", "us-east-1", "us.anthropic.claude-opus-5-5"],
    ["claude-sonnet-5", "eu-central-1", "eu.anthropic.claude-sonnet-5"],
    ["claude-haiku-5-5", "ap-northeast-1", "jp.anthropic.claude-haiku-5-5"],
    ["claude-opus-5", "ap-southeast-2", "au.anthropic.claude-opus-5"],
    ["claude-fable-5-2", "ap-south-1", "global.anthropic.claude-fable-5-2"],
    ["claude-opus-4-8", "sa-east-1", "global.anthropic.claude-opus-4-8"],
    ["claude-opus-4-6", "us-west-2", "us.anthropic.claude-opus-4-6-v1"],
    ["claude-opus-4-6", "ap-south-1", "apac.anthropic.claude-opus-4-6-v1"],
    ["claude-sonnet-4-6", "eu-west-1", "eu.anthropic.claude-sonnet-4-6"],
    ["claude-opus-4-5", "ap-northeast-1", "global.anthropic.claude-opus-4-5-20251101-v1:0"],
    ["claude-sonnet-4-5-20250929", "us-east-1", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"],
    ["claude-haiku-4-5", "us-gov-west-1", "us-gov.anthropic.claude-haiku-4-5-20251001-v1:0"],
    ["claude-sonnet-4-20250514", "ap-southeast-2", "apac.anthropic.claude-sonnet-4-20250514-v1:0"],
    ["claude-3-5-sonnet-20241022", "us-east-1", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"],
    // Nothing but the US has a profile of it: the foundation model itself.
    ["claude-opus-4-1-20250805", "eu-west-1", "anthropic.claude-opus-4-1-20250805-v1:0"],
    // A model of tomorrow.
    ["claude-opus-6", "eu-north-1", "eu.anthropic.claude-opus-6"],
    ["global.anthropic.claude-opus-5", "eu-west-1", "global.anthropic.claude-opus-5"],
    ["arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", "us-east-1", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"],
  ])("%s in %s is %s", (name, region, id) => {
    expect(bedrockModelName(name, region, "auto")).toBe(id);
  });

  it("have the prefix that the operator chose, or none", () => {
    expect(bedrockModelName("claude-opus-5", "eu-west-1", "global")).toBe("global.anthropic.claude-opus-5");
    expect(bedrockModelName("claude-opus-5", "eu-west-1", "none")).toBe("anthropic.claude-opus-5");
  });

  it("lead back to the foundation model", () => {
    expect(["us-gov.anthropic.claude-x", "jp.anthropic.claude-x", "anthropic.claude-x", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-x"].map(foundationModel)).toEqual(Array.from({ length: 4 }, () => "anthropic.claude-x"));
    expect(foundationModel("arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc")).toBeUndefined();
  });
});

describe("settings", () => {
  it("give the region's own host, in every partition of AWS, or the endpoint", () => {
    const of = (more: object) => destination(settings.parse({ region: "us-east-1", ...more }));
    expect(of({})).toEqual({ origin: "https://bedrock-runtime.us-east-1.amazonaws.com", pathPrefix: "" });
    expect(of({ region: "cn-north-1" }).origin).toBe("https://bedrock-runtime.cn-north-1.amazonaws.com.cn");
    expect(of({ region: "eusc-de-east-1" }).origin).toBe("https://bedrock-runtime.eusc-de-east-1.amazonaws.eu");
    expect(of({ region: "us-gov-west-1" }).origin).toBe("https://bedrock-runtime.us-gov-west-1.amazonaws.com");
    expect(of({ endpoint: "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com/" }).origin).toBe("https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com");
    expect(of({ endpoint: "https://proxy.example:8443/aws/bedrock/" })).toEqual({ origin: "https://proxy.example:8443", pathPrefix: "/aws/bedrock" });
  });

  it.each([{ region: "nowhere" }, { access_key_id: "A" }, { inference_profile: "US" }, { role_arn: "x" }, { endpoint: "ftp://x" }, { surprise: 1 }])("refuse %j", (more) => {
    expect(settings.safeParse({ region: "us-east-1", ...more }).success).toBe(false);
  });
});
