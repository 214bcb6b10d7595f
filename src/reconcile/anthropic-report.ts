/** The reports of Anthropic's Usage & Cost Admin API, as its JSON pages. Sources are named in `anthropic-export.ts`. */
import { z } from "zod";
import { nanoUsd } from "../kernel/money.ts";
import { zeroCounts } from "../kernel/usage.ts";
import { amountOf, batchRemark, dayOf } from "./anthropic-values.ts";
import { FileFault } from "./csv.ts";
import { webSearchModel, type BillEntry, type ProviderBill } from "./provider-bill.ts";

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).nullish().transform((value) => value ?? 0);
const name = z.string().nullish().transform((value) => value ?? "");

const usageResult = z.object({
  uncached_input_tokens: z.number().int().min(0),
  cache_read_input_tokens: count,
  cache_creation: z.object({ ephemeral_5m_input_tokens: count, ephemeral_1h_input_tokens: count }).nullish(),
  output_tokens: z.number().int().min(0),
  server_tool_use: z.object({ web_search_requests: count }).nullish(),
  model: name,
  workspace_id: name,
  api_key_id: name,
  service_tier: name,
});
const costResult = z.object({ amount: z.string(), currency: z.literal("USD"), model: name, cost_type: name, token_type: name, workspace_id: name, service_tier: name });
const page = z.object({
  data: z.array(z.object({ starting_at: z.string(), results: z.array(z.unknown()) })),
  has_more: z.boolean().nullish(),
});

/**
 * @param text one page, or a list of all pages
 * @throws FileFault naming the value's path
 */
export function readAdminReport(text: string): ProviderBill {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (fault) {
    throw new FileFault(`this is not JSON: ${fault instanceof Error ? fault.message : String(fault)}`);
  }
  const isList = Array.isArray(parsed);
  const pages = check(z.array(page), isList ? parsed : [parsed], isList ? "" : undefined);
  if (pages.at(-1)?.has_more === true) throw new FileFault("the report goes on (`has_more`): fetch the pages that follow, and put all of them into one list", { path: "has_more" });
  const found: BillEntry[] = [];
  let batches = 0;
  let kind: ProviderBill["kind"] | undefined;
  for (const [pageIndex, { data }] of pages.entries()) {
    for (const [index, { starting_at, results }] of data.entries()) {
      const path = `${isList ? `[${pageIndex}].` : ""}data[${index}]`;
      const day = dayOf(starting_at);
      if (day === undefined) throw new FileFault(`${JSON.stringify(starting_at)} is not a time in UTC`, { path: `${path}.starting_at` });
      for (const [position, result] of results.entries()) {
        const own = kindOf(result);
        if ((kind ??= own) !== own) throw new FileFault("usage and costs are mixed here: take one report at a time", { path: `${path}.results[${position}]` });
        const entry = own === "cost" ? costEntry(day, result, `${path}.results[${position}]`) : usageEntry(day, result, `${path}.results[${position}]`);
        if (entry === "batch") batches++;
        else found.push(entry);
      }
    }
  }
  return { kind: kind ?? "usage", entries: found, remarks: batches === 0 ? [] : [batchRemark(batches)] };
}

function kindOf(result: unknown): ProviderBill["kind"] {
  return typeof result === "object" && result !== null && "amount" in result ? "cost" : "usage";
}

function usageEntry(day: string, result: unknown, path: string): BillEntry | "batch" {
  const own = check(usageResult, result, path);
  if (own.service_tier === "batch") return "batch";
  if (own.model === "") throw new FileFault("it names no model: ask for the report with `group_by[]=model`", { path: `${path}.model` });
  return {
    day,
    model: own.model,
    workspace: own.workspace_id,
    apiKey: own.api_key_id,
    counts: {
      input: own.uncached_input_tokens,
      cacheRead: own.cache_read_input_tokens,
      cacheWrite5m: own.cache_creation?.ephemeral_5m_input_tokens ?? 0,
      cacheWrite1h: own.cache_creation?.ephemeral_1h_input_tokens ?? 0,
      output: own.output_tokens,
    },
    webSearches: own.server_tool_use?.web_search_requests ?? 0,
    costNanoUsd: nanoUsd(0n),
    roundingNanoUsd: nanoUsd(0n),
  };
}

function costEntry(day: string, result: unknown, path: string): BillEntry | "batch" {
  const own = check(costResult, result, path);
  if (own.service_tier === "batch") return "batch";
  if (own.cost_type === "") throw new FileFault("it names no kind of cost: ask for the report with `group_by[]=description`", { path: `${path}.cost_type` });
  const amount = amountOf(own.amount, 7);
  if (amount === undefined) throw new FileFault(`${JSON.stringify(own.amount)} is not an amount in cents`, { path: `${path}.amount` });
  const model = own.cost_type === "web_search" ? webSearchModel : own.model === "" ? `(${own.cost_type})` : own.model;
  return { day, model, workspace: own.workspace_id, apiKey: "", counts: zeroCounts, webSearches: 0, ...amount };
}

/** @param base path of `value`; undefined where it was wrapped into a list for this */
function check<Output>(schema: z.ZodType<Output>, value: unknown, base: string | undefined): Output {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const own = base === undefined ? path.slice(1) : path;
  const steps = own.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  throw new FileFault(`${message} (this is no page of a usage or cost report)`, { path: `${base ?? ""}${steps}`.replace(/^\./, "") });
}
