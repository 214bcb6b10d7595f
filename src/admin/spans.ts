/** Spans of budgets in what an operator sets, checked alike for keys and for the terms they share. */
import type { KeyRecord } from "../identity/key-store.ts";
import { parseWindow } from "../ledger/window-words.ts";
import { fieldInvalid } from "./fields.ts";

/** @param path the field in the caller's words. @throws GatewayError `client_field_invalid` */
export function refuseSpan(path: string, span: string | null): void {
  const parsed = span === null ? undefined : parseWindow(span);
  if (parsed !== undefined && "fault" in parsed) throw fieldInvalid(`${path}: ${parsed.fault}.`);
}

/** @throws GatewayError `client_field_invalid` */
export function refuseSpans(modelBudgets: KeyRecord["modelBudgets"] = {}): void {
  for (const [model, { budgetDuration }] of Object.entries(modelBudgets)) refuseSpan(`model_max_budget[${JSON.stringify(model)}].budget_duration`, budgetDuration);
}
