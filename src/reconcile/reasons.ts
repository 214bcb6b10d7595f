/** Names for every way in which a ledger and a bill can differ, each with a sentence for people. */
import type { Amounts } from "./amounts.ts";
import type { Cell } from "./compare.ts";
import type { BillKind } from "./provider-bill.ts";

/** The closed list. */
export type ReasonCode = "rounding" | "unresolved" | "estimated" | "adjusted" | "missing_here" | "missing_there" | "price" | "over_midnight" | "day_not_over" | "implausible" | "less_than_reported" | "unexplained";

export interface Reason {
  readonly code: ReasonCode;
  readonly text: string;
}

export interface Findings {
  readonly cell: Cell;
  readonly kind: BillKind;
  /** The provider's figures less the ledger's. */
  readonly difference: Amounts;
  readonly agrees: boolean;
  readonly isOver: boolean;
  /** The same model on the days beside this one. */
  readonly neighbours: readonly Cell[];
  /** Attempts that the difference settles. */
  readonly corrected: number;
  readonly isImplausible: boolean;
}

/** In the order in which they should be looked at; empty where both sides are equal and nothing is open. */
export function reasonsFor(findings: Findings): readonly Reason[] {
  const { cell, agrees, difference } = findings;
  const isExact = difference.every((amount) => amount === 0n);
  const reasons: Reason[] = [];
  if (!findings.isOver) reasons.push({ code: "day_not_over", text: "this day is not over, or has just ended: the provider's figures may still grow, and nothing is corrected" });
  if (agrees && !isExact) reasons.push({ code: "rounding", text: "the file's own rounding leaves this open" });
  if (cell.unresolvedAttempts > 0) reasons.push(unresolved(findings));
  if (cell.estimatedAttempts > 0 && !agrees) reasons.push(estimated(findings));
  if (cell.adjustedAttempts > 0 && !agrees) reasons.push(adjusted(findings));
  if (!agrees) reasons.push(...differences(findings));
  if (!agrees && reasons.length === 0) reasons.push({ code: "unexplained", text: "nothing in the ledger explains this" });
  return reasons;
}

function differences({ cell, kind, difference, neighbours, isImplausible, corrected }: Findings): readonly Reason[] {
  const reasons: Reason[] = [];
  const isLess = difference.some((amount) => amount < 0n);
  if (cell.attempts === 0 && cell.entries > 0 && !cell.model.startsWith("(")) reasons.push({ code: "missing_here", text: "no call of this model went through this gateway on this day: another key or workspace made it, or another gateway" });
  else if (cell.entries === 0) reasons.push({ code: "missing_there", text: "the file has no line for these calls: it may be cut to other keys, workspaces or days, or be too early" });
  else if (isImplausible) reasons.push({ code: "implausible", text: "it is more input than the requests of the attempts in doubt had bytes, so other calls are in it, and nothing is corrected" });
  else if (kind === "cost") reasons.push({ code: "price", text: `${percent(cell)}: a price other than the price book's (a contract, a tier), or calls beside this gateway` });
  else if (isLess && corrected === 0) reasons.push({ code: "less_than_reported", text: "the provider counts less than its own replies reported: the file may be cut to other keys or workspaces" });
  const isShifted = [cell, ...neighbours].some(({ overMidnight }) => overMidnight > 0);
  if (isShifted) reasons.push({ code: "over_midnight", text: "calls ran over midnight: they count here on the day they began, and may count there on the next" });
  return reasons;
}

function unresolved({ cell, kind, corrected, agrees }: Findings): Reason {
  const attempts = `${cell.unresolvedAttempts} unresolved ${cell.unresolvedAttempts === 1 ? "attempt" : "attempts"} here`;
  if (kind === "cost") return { code: "unresolved", text: `${attempts}; a file of usage tells what they cost` };
  const text = agrees ? `${attempts}, which cost nothing by these figures` : corrected > 0 ? `${attempts}, which it would explain` : attempts;
  return { code: "unresolved", text };
}

function estimated({ cell, corrected }: Findings): Reason {
  const attempts = `${cell.estimatedAttempts} estimated ${cell.estimatedAttempts === 1 ? "attempt" : "attempts"} here`;
  return { code: "estimated", text: corrected > 0 ? `${attempts}, whose estimates may be off by it` : attempts };
}

function adjusted({ cell, corrected }: Findings): Reason {
  const attempts = `${cell.adjustedAttempts} ${cell.adjustedAttempts === 1 ? "attempt" : "attempts"} here that earlier figures have settled`;
  return { code: "adjusted", text: corrected > 0 ? `${attempts}, which these would correct` : attempts };
}

function percent({ known, estimated, provider }: Cell): string {
  const here = known.cost + estimated.cost;
  if (here === 0n) return "the provider bills what costs nothing here";
  const permille = Number(((provider.cost - here) * 1_000n) / here);
  return `the provider bills ${Math.abs(permille) / 10} % ${permille < 0 ? "less" : "more"}`;
}
