// Guarantee: the exports of the Claude Console and the reports of the Admin API are read to the token and the cent, whatever the order
// of their columns; a file that is something else, or has a bad value, is refused with the place of it.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readAnthropicExport } from "./anthropic-export.ts";
import { FileFault, parseCsv } from "./csv.ts";
import { sumBill } from "./provider-bill.ts";

/** In the columns of a real export of the usage page; figures invented. */
const usageHeader = "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed";
const usageCsv = `${usageHeader}
2026-03-22,claude-sonnet-4-5-20250929,gateway,Default,standard,≤ 200k,100,2,3,4,50,10,not_available,
2026-03-22 02:00,claude-sonnet-4-5-20250929,gateway,Default,standard,> 200k,1,0,0,0,5,0,not_available,
2026-03-22,claude-haiku-4-5-20251001,other,Default,batch,≤ 200k,9,0,0,0,9,0,not_available,
2026-03-23,claude-opus-4-8,gateway,"Research, EU",standard,≤ 200k,7,,0,0,8,,us,fast
`;
/** In those of the cost page. */
const costCsv = `usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed,api_key_id,api_key_status
2026-08-15,Claude Haiku 4.5,Default,gateway,message,≤ 200k,input_no_cache,0.19,0.19,token,global,,apikey_x,active
2026-08-15,Claude Haiku 4.5,Default,gateway,message,≤ 200k,output,0.03,0.03,token,global,,apikey_x,active
2026-08-15,Claude Opus 5,Default,gateway,message,≤ 200k,output,0.00,0.00,token,global,,apikey_x,active
2026-08-15,,Default,gateway,message,,,0.10,0.10,web_search,global,,apikey_x,active
`;
const usagePage = (members: object = {}): string =>
  JSON.stringify({
    data: [{ starting_at: "2025-08-01T00:00:00Z", ending_at: "2025-08-02T00:00:00Z", results: [{ api_key_id: "apikey_1", cache_creation: { ephemeral_1h_input_tokens: 1000, ephemeral_5m_input_tokens: 500 }, cache_read_input_tokens: 200, context_window: "0-200k", model: "claude-sonnet-4-20250514", output_tokens: 500, server_tool_use: { web_search_requests: 10 }, service_tier: "standard", uncached_input_tokens: 1500, workspace_id: null, ...members }] }],
    has_more: false,
    next_page: null,
  });
const costPage = (members: object = {}): string =>
  JSON.stringify({ data: [{ starting_at: "2025-08-01T00:00:00Z", ending_at: "2025-08-02T00:00:00Z", results: [{ amount: "123.45", currency: "USD", cost_type: "tokens", model: "claude-opus-4-6", token_type: "output_tokens", service_tier: "standard", workspace_id: null, ...members }] }], has_more: false, next_page: null });

const faultOf = (text: string): Pick<FileFault, "line" | "column" | "path" | "message"> => {
  try {
    readAnthropicExport(text);
  } catch (fault) {
    if (fault instanceof FileFault) return { line: fault.line, column: fault.column, path: fault.path, message: fault.message };
    throw fault;
  }
  throw new Error("no fault");
};

describe("an export of usage", () => {
  it("gives each line's tokens by kind, hours as their day, and leaves batches out with a remark", () => {
    const bill = readAnthropicExport(usageCsv);
    expect(bill.kind).toBe("usage");
    expect(bill.remarks).toEqual(["1 line is about batches, which no call through this gateway makes; left out."]);
    expect(sumBill(bill.entries)).toMatchObject([
      { day: "2026-03-22", model: "claude-sonnet-4-5-20250929", counts: { input: 101, cacheWrite5m: 2, cacheWrite1h: 3, cacheRead: 4, output: 55 }, webSearches: 10, entries: 2 },
      { day: "2026-03-23", model: "claude-opus-4-8", counts: { input: 7, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0, output: 8 }, webSearches: 0, entries: 1 },
    ]);
    expect(bill.entries.map(({ workspace, apiKey }) => [workspace, apiKey])).toEqual([["Default", "gateway"], ["Default", "gateway"], ["Research, EU", "gateway"]]);
  });

  it("is the same in any order of columns, with more of them, other line ends and a byte order mark", () => {
    const records = usageCsv.trimEnd().split("\n").map((line) => parseCsv(line)[0]!.map(({ text }) => text));
    const order = fc.shuffledSubarray([...records[0]!.keys()], { minLength: records[0]!.length });
    fc.assert(
      fc.property(order, fc.constantFrom("\n", "\r\n"), fc.boolean(), (columns, end, hasMark) => {
        const text = records.map((record, row) => [...columns.map((column) => `"${record[column]!}"`), row === 0 ? "new_column" : "x"].join(",")).join(end);
        expect(readAnthropicExport(`${hasMark ? "\uFEFF" : ""}${text}${end}${end}`)).toEqual(readAnthropicExport(usageCsv));
      }),
      { numRuns: 50 },
    );
  });

  it("comes as JSON of the Admin API too, in one page or several", () => {
    const [entry] = readAnthropicExport(usagePage()).entries;
    expect(entry).toMatchObject({ day: "2025-08-01", model: "claude-sonnet-4-20250514", workspace: "", apiKey: "apikey_1", counts: { input: 1500, cacheRead: 200, cacheWrite5m: 500, cacheWrite1h: 1000, output: 500 }, webSearches: 10 });
    expect(readAnthropicExport(`[${usagePage().replace('"has_more":false', '"has_more":true')},${usagePage()}]`).entries).toEqual([entry, entry]);
    expect(readAnthropicExport(usagePage({ service_tier: "batch" }))).toMatchObject({ entries: [], remarks: [expect.stringContaining("batches")] });
  });
});

describe("an export of costs", () => {
  it("gives dollars by model, with what rounding leaves open, and searches by themselves", () => {
    const bill = readAnthropicExport(costCsv);
    expect(bill.kind).toBe("cost");
    expect(sumBill(bill.entries).map(({ model, costNanoUsd, roundingNanoUsd, entries }) => [model, costNanoUsd, roundingNanoUsd, entries])).toEqual([
      ["(web search)", 100_000_000n, 5_000_001n, 1],
      ["claude-haiku-4-5", 220_000_000n, 10_000_002n, 2],
      ["claude-opus-5", 0n, 5_000_001n, 1],
    ]);
  });

  it("of the Admin API is in cents", () => {
    expect(readAnthropicExport(costPage()).entries).toMatchObject([{ day: "2025-08-01", model: "claude-opus-4-6", costNanoUsd: 1_234_500_000n, roundingNanoUsd: 50_001n }]);
    expect(readAnthropicExport(costPage({ cost_type: "web_search", model: null })).entries).toMatchObject([{ model: "(web search)" }]);
    expect(readAnthropicExport(costPage({ cost_type: "code_execution", model: null })).entries).toMatchObject([{ model: "(code_execution)" }]);
  });
});

describe("a fault is named with its place", () => {
  const withLine = (line: string): string => `${usageHeader}\n${line}\n`;
  it.each([
    ["an empty file", "", 0, 0, "is empty"],
    ["another file", "foo,bar\n1,2\n", 1, 1, "there is no column `usage_date_utc`, `model_version`"],
    ["a column that is missing", usageCsv.replace("usage_output_tokens", "output"), 1, 1, "`usage_output_tokens`"],
    ["a column that is there twice", usageCsv.replace("workspace", "api_key"), 1, 38, "api_key is there twice"],
    ["a count that is none", withLine("2026-03-22,m,k,w,standard,c,100,2,3,4,many,0,,"), 2, 39, 'usage_output_tokens: "many" is not a whole number'],
    ["a negative count", withLine("2026-03-22,m,k,w,standard,c,-1,2,3,4,5,0,,"), 2, 29, 'usage_input_tokens_no_cache: "-1"'],
    ["a count with a fraction", withLine("2026-03-22,m,k,w,standard,c,1.5,2,3,4,5,0,,"), 2, 29, '"1.5"'],
    ["a day that does not exist", withLine("2026-02-30,m,k,w,standard,c,1,2,3,4,5,0,,"), 2, 1, "is not a day"],
    ["a day in another notation", withLine("03/22/2026,m,k,w,standard,c,1,2,3,4,5,0,,"), 2, 1, "is not a day"],
    ["a line without a model", withLine("2026-03-22,,k,w,standard,c,1,2,3,4,5,0,,"), 2, 12, "model_version: it is empty"],
    ["a line that is too short", withLine("2026-03-22,m,k"), 2, 14, "3 values here, and 14 columns"],
    ["an amount that is none", costCsv.replace("0.03,0.03", "free,0.03"), 3, 67, 'cost_usd: "free" is not an amount of dollars'],
    ["an open quote", withLine('2026-03-22,"m,k'), 2, 12, "quote is not closed"],
    ["a quote in a value", withLine('2026-03-22,m"n,k'), 2, 13, "must be quoted as a whole"],
    ["text behind a quote", withLine('2026-03-22,"m"n,k'), 2, 15, "after a closing quote"],
    ["a fault behind a quoted line end", withLine('2026-03-22,"m\nn",k,w,standard,c,x,2,3,4,5,0,,'), 3, 19, '"x" is not a whole number'],
  ])("%s", (_, text, line, column, message) => {
    expect(faultOf(text)).toEqual({ line, column, path: "", message: expect.stringContaining(message) as string });
  });

  it.each([
    ["no JSON", "{", "", "not JSON"],
    ["another shape", '{"models": []}', "data", "no page of a usage or cost report"],
    ["no model", usagePage({ model: null }), "data[0].results[0].model", "group_by[]=model"],
    ["a count that is none", usagePage({ output_tokens: -1 }), "data[0].results[0].output_tokens", "no page of"],
    ["a page that is not the last", usagePage().replace("false", "true"), "has_more", "put all of them into one list"],
    ["another currency", costPage({ currency: "EUR" }), "data[0].results[0].currency", "USD"],
    ["an amount that is none", costPage({ amount: "1,2" }), "data[0].results[0].amount", "not an amount in cents"],
    ["no kind of cost", costPage({ cost_type: null }), "data[0].results[0].cost_type", "group_by[]=description"],
    ["both kinds", `[${usagePage()},${costPage()}]`, "[1].data[0].results[0]", "one report at a time"],
    ["a time in another zone", usagePage().replace('"2025-08-01T00:00:00Z"', '"2025-08-01T00:00:00+02:00"'), "data[0].starting_at", "not a time in UTC"],
  ])("%s in JSON", (_, text, path, message) => {
    expect(faultOf(text)).toEqual({ line: 0, column: 0, path, message: expect.stringContaining(message) as string });
  });

  it("and no text at all makes it fail in another way", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string().map((text) => `${usageHeader}\n${text}`), fc.json()), (text) => {
        try {
          readAnthropicExport(text);
        } catch (fault) {
          expect(fault).toBeInstanceOf(FileFault);
        }
      }),
      { numRuns: 300 },
    );
  });
});
