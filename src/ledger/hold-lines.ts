/** The room that one call holds, line by line: taken, given back, moved from the budgets of one configuration to those of another. */
import { assert } from "../kernel/assert.ts";
import type { Balance } from "./balance.ts";
import { isRecalled } from "./balances.ts";
import { isSameBudget, type BudgetBook } from "./budget.ts";
import type { Hold, Line } from "./ledger.ts";

/** Takes what the line says. @returns the same line */
export function keep(line: Line): Line {
  line.sums.held += line.held;
  line.sums.atRisk += line.risk;
  line.sums.holds++;
  return line;
}

/** Gives back what `keep` took. */
export function giveBack({ sums, held, risk }: Line): void {
  sums.held -= held;
  sums.atRisk -= risk;
  sums.holds--;
  assert(sums.held >= 0n && sums.atRisk >= 0n && sums.holds >= 0, "more was given back than was held");
}

/** Of a budget that came while the call ran. */
export function lateLine(balance: Balance, hold: Hold, risk: bigint): Line {
  const line = keep({ balance, sums: balance.at(hold.heldSinceMs), held: hold.amount, risk });
  if (isStrict(line) && hold.amount > hold.strictAmount) hold.strictAmount = hold.amount;
  return line;
}

/** Of sessions and runs, under budgets that bind the call as before. */
export function linesThatStay({ lines, spender }: Hold, book: BudgetBook): readonly Line[] {
  const bindings = book.bindings(spender);
  return lines.filter(({ balance }) => isRecalled(balance.scope) && bindings.some(({ scope, budget }) => scope === balance.scope && isSameBudget(budget, balance.budget)));
}

/** Keeps the room of a call that runs under other budgets than before: as much as it had, and under strict ones its bound if it has one. */
export function moveHold(hold: Hold, balances: readonly Balance[]): void {
  const risk = hold.lines.reduce((most, line) => (line.risk > most ? line.risk : most), 0n);
  for (const line of hold.lines) giveBack(line);
  const moved = balances.map((balance) => {
    const isBounded = balance.budget.mode === "strict" && hold.strictAmount > 0n;
    return keep({ balance, sums: balance.at(hold.heldSinceMs), held: isBounded ? hold.strictAmount : hold.amount, risk: balance.budget.mode === "strict" ? 0n : risk });
  });
  if (hold.strictAmount === 0n && moved.some(isStrict)) hold.strictAmount = hold.amount;
  hold.lines.splice(0, Infinity, ...moved);
}

/** Whether its budget holds the most that a call can cost. */
export function isStrict({ balance }: Line): boolean {
  return balance.budget.mode === "strict";
}
