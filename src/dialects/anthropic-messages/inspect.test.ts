// Guarantee: what the gateway decides by is what the upstream will read, and every model a request names is seen.
import { describe, expect, it } from "vitest";
import { isGatewayError } from "../../kernel/gateway-error.ts";
import { inspect } from "./inspect.ts";

function refusal(text: string): string {
  try {
    inspect(Buffer.from(text));
    return "accepted";
  } catch (fault) {
    return isGatewayError(fault) ? `${fault.code}: ${fault.spec.text}` : String(fault);
  }
}

describe("inspect", () => {
  it("reads model, stream and max_tokens wherever they stand", () => {
    const body = Buffer.from('{"messages":[{"model":"inner"}],"max_tokens":64000,"stream":true,"model":"claude-\\u0078"}');
    const facts = inspect(body);
    expect([facts.model, facts.isStreaming, facts.outputTokensMax, facts.furtherModels(body)]).toEqual(["claude-x", true, 64000, []]);
  });

  it.each([
    ["[]", "client_body_malformed: Cannot read the request: the body is not a JSON object (byte 0)."],
    ['{"model":"a","model":"b"}', 'client_body_malformed: Cannot read the request: the body has the member "model" twice (byte 13).'],
    ['{"messages":[]}', "client_field_invalid: model: Field required"],
    ['{"model":5}', "client_field_invalid: model: Input should be a valid string"],
    ['{"model":""}', "client_field_invalid: model: String should have 1 to 256 characters"],
    ['{"model":"a","stream":"true"}', "client_field_invalid: stream: Input should be a valid boolean"],
    ['{"model":"a","stream":1}', "client_field_invalid: stream: Input should be a valid boolean"],
    ['{"model":"a","Model":"b"}', 'client_field_invalid: "Model" is not a member; it is written model'],
    ['{"model":"a","\\u0053tream":true}', 'client_field_invalid: "Stream" is not a member; it is written stream'],
  ])("refuses %s", (text, expected) => {
    expect(refusal(text)).toBe(expected);
  });

  it("finds models that tools and fallbacks name, also behind escapes and inside messages, and refuses doubt", () => {
    const models = (rest: string): readonly string[] => {
      const body = Buffer.from(`{"model":"a",${rest}}`);
      return inspect(body).furtherModels(body);
    };
    const doubt = (rest: string): string => {
      try {
        return models(rest).join();
      } catch (fault) {
        return isGatewayError(fault) ? fault.spec.text : String(fault);
      }
    };
    expect(models('"tools":[{"type":"advisor_1","name":"advisor","model":"b"},{"name":"Task","input_schema":{"properties":{"model":{"type":"string"}}}}]')).toEqual(["b"]);
    expect(models('"tools":[{"type":"\\u0061dvisor_1","mod\\u0065l":"b"}]')).toEqual(["b"]);
    expect(models('"fallbacks":["b",{"model":"c"}],"fallback":{"model":"d"}')).toEqual(["d", "b", "c"]);
    expect(models('"messages":[{"role":"system","content":[{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"type":"advisor_20260301","model":"b"}}}]}]')).toEqual(["b"]);
    expect(models('"messages":[{"role":"user","content":"use \\"model\\": advisor_ please"}]')).toEqual([]);
    expect(doubt('"tools":[{"type":"advisor_1","model":"b","mod\\u0065l":"c"}]')).toContain('has `type` or `model` twice');
    expect(doubt('"tools":[{"type":"advisor_1"}]')).toContain("must name its model");
    expect(doubt('"fallbacks":"default"')).toContain("name the model to fall back to");
  });
});
