/**
 * Runs the proofs behind docs/guarantees.md at their published size and writes the figures into it. Arguments name some of them
 * (`npm run proof -- storm kills`); the figures of the others stay.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandLine, commands, readFigures, withAffinityTable, withTable, type AllFigures, type Figures } from "./guarantees.ts";

const docs = join(import.meta.dirname, "..", "docs");
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => commands[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(`no such proof: ${unknown.join(", ")}; there are ${Object.keys(commands).join(", ")}\n`);
  process.exit(1);
}

const folder = mkdtempSync(join(tmpdir(), "tollgate-proof-"));
const failed: string[] = [];
const measured: Record<string, Figures> = {};
for (const name of wanted.length > 0 ? wanted : Object.keys(commands)) {
  process.stdout.write(`\n# ${commandLine(name)}\n`);
  const figures = runProof(name);
  if (figures === undefined) failed.push(name);
  else Object.assign(measured, figures);
}
rmSync(folder, { recursive: true, force: true });

writeFileSync(join(docs, "guarantees.json"), `${JSON.stringify({ ...readFigures(), ...measured }, undefined, 2)}\n`);
const page = join(docs, "guarantees.md");
writeFileSync(page, withTable(readFileSync(page, "utf8"), readFigures()));
const routingPage = join(docs, "routing.md");
writeFileSync(routingPage, withAffinityTable(readFileSync(routingPage, "utf8"), readFigures()));
process.stdout.write(failed.length === 0 ? "\nall proofs hold; docs/guarantees.md has their figures\n" : `\nfailed: ${failed.join(", ")}\n`);
process.exitCode = failed.length > 0 ? 1 : 0;

/** @returns undefined when it failed */
function runProof(name: string): AllFigures | undefined {
  const { env, file, arguments: more = [] } = commands[name]!;
  const figures = join(folder, `${name}.jsonl`);
  const program = file.startsWith("bench/") ? [file, ...more] : ["scripts/run-tests.ts", file];
  const outcome = spawnSync(process.execPath, program, { stdio: "inherit", env: { ...process.env, ...env, TOLLGATE_FIGURES: figures } });
  if (outcome.status !== 0 || !existsSync(figures)) return undefined;
  const lines = readFileSync(figures, "utf8").trimEnd().split("\n");
  return Object.fromEntries(lines.map((line) => JSON.parse(line) as { proof: string; figures: Figures }).map(({ proof, figures: own }) => [proof, own]));
}
