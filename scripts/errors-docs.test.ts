// Guarantee: the page of errors says what the catalogue says.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { errorsPage } from "./errors-docs.ts";

it("docs/errors.md is what the catalogue gives", () => {
  expect(readFileSync(join(import.meta.dirname, "..", "docs", "errors.md"), "utf8")).toBe(errorsPage());
});
