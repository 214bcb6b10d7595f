/**
 * Writes `src/metering/price-book.json`, or with `--check` fails when the file is not what the price package and the
 * overrides give. Usage: `node scripts/prices.ts [--check]`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { generatePriceFile, printPriceFile } from "./prices-generate.ts";

const path = new URL("../src/metering/price-book.json", import.meta.url);
const text = printPriceFile(generatePriceFile());

if (!process.argv.includes("--check")) {
  writeFileSync(path, text);
  console.log(`wrote ${text.split("\n").length} lines of prices`);
} else if (readFileSync(path, "utf8") === text) {
  console.log("src/metering/price-book.json is up to date");
} else {
  console.error("src/metering/price-book.json differs from its sources; run: node scripts/prices.ts");
  process.exitCode = 1;
}
