/** Writes `docs/errors.md` from the error catalogue; `--check` only compares, and fails when the page is stale. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorCodes } from "../src/kernel/error-codes.ts";

const path = join(import.meta.dirname, "..", "docs", "errors.md");

/** The page as it should be. */
export function errorsPage(): string {
  const rows = Object.entries(errorCodes).map(([code, spec]) => {
    const hints = ["shouldRetry" in spec ? "`x-should-retry: false`" : "", "retryAfterSeconds" in spec ? `\`retry-after: ${spec.retryAfterSeconds}\`` : "", "closes" in spec ? "connection closes" : ""].filter((hint) => hint !== "");
    return `| \`${code}\` | ${spec.status} | \`${spec.type}\` | ${spec.blame} | ${hints.join(", ")} | ${spec.text} |`;
  });
  return [
    "# Errors",
    "",
    "Everything Tollgate itself can answer with. Errors of a model provider are not in this list: they pass with their own status and words.",
    "The code stands in the log line of the request; the client sees status, type and sentence in its own format. This page is generated",
    "from `src/kernel/error-codes.ts` by `node scripts/errors-docs.ts`.",
    "",
    "| Code | Status | Type | Whose fault | Hints to the client | Sentence |",
    "|---|---|---|---|---|---|",
    ...rows,
    "",
    "A model that is unknown or forbidden is `client_model_unavailable`. Claude Code (user agent `claude-cli/`) gets it as 400 `policy_blocked`",
    "with `x-should-retry: false`, the one form it shows at once.",
    "",
  ].join("\n");
}

if (import.meta.main) {
  if (process.argv.includes("--check")) {
    if (readFileSync(path, "utf8") !== errorsPage()) {
      process.stderr.write("docs/errors.md is stale: run node scripts/errors-docs.ts\n");
      process.exitCode = 1;
    }
  } else writeFileSync(path, errorsPage());
}
