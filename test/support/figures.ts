/** Where tests leave what they measured, for `scripts/proof.ts` to put into docs/guarantees.md. */
import { appendFileSync } from "node:fs";

/** Figures of one proof; numbers only, by name. */
export type Figures = Readonly<Record<string, number>>;

/** Leaves nothing behind unless a proof asked for it (`TOLLGATE_FIGURES`, a file to which a line of JSON is added). */
export function noteFigure(proof: string, figures: Figures): void {
  const file = process.env["TOLLGATE_FIGURES"];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ proof, figures })}\n`);
}
