/** What a check of `doctor` reports, and how a list of them is shown. */
import type { Output, TextStyle } from "./context.ts";
import { plainText } from "./text.ts";

/** One result. `skip`: there was nothing to check. Only `fail` makes the command fail. */
export interface Finding {
  readonly check: string;
  readonly level: "ok" | "warn" | "fail" | "skip";
  readonly message: string;
  /** What to do; empty for `ok` and `skip`. */
  readonly mend: string;
}

/** A good result. */
export const ok = (check: string, message: string): Finding => ({ check, level: "ok", message, mend: "" });
/** Nothing to check. */
export const skip = (check: string, message: string): Finding => ({ check, level: "skip", message, mend: "" });
/** Works, but not as it should. */
export const warn = (check: string, message: string, mend: string): Finding => ({ check, level: "warn", message, mend });
/** Does not work. */
export const fail = (check: string, message: string, mend: string): Finding => ({ check, level: "fail", message, mend });

const styles: Readonly<Record<Finding["level"], TextStyle>> = { ok: "green", warn: "yellow", fail: "red", skip: "dim" };

/** One line a finding, its mend on the next. */
export function renderFindings(findings: readonly Finding[], output: Pick<Output, "style">): string {
  const width = Math.max(0, ...findings.map((finding) => finding.check.length));
  const lines = findings.flatMap(({ check, level, message, mend }) => [
    `${output.style(styles[level], level.padEnd(4))}  ${check.padEnd(width)}  ${plainText(message)}`,
    ...(mend === "" ? [] : [`${" ".repeat(6 + width)}  → ${plainText(mend)}`]),
  ]);
  const failed = findings.filter((finding) => finding.level === "fail").length;
  const warned = findings.filter((finding) => finding.level === "warn").length;
  const summary = failed > 0 ? `${failed} to mend, ${warned} to look at.` : warned > 0 ? `Nothing fails; ${warned} to look at.` : "All is well.";
  return [...lines, "", summary].join("\n");
}
