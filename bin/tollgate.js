#!/usr/bin/env -S node --max-semi-space-size=4 --v8-pool-size=1 --expose-gc
// Starts the command line on any Node that can parse this file, so that an old one gets a sentence and not a syntax
// error: the sources are TypeScript, which Node runs from version 24 on. Plain JavaScript for that reason, and short.
import { existsSync } from "node:fs";

const major = Number(process.versions.node.split(".")[0]);
const source = new URL("../src/cli/index.ts", import.meta.url);

if (major < 24) {
  const isRepository = existsSync(source);
  const mend = isRepository ? "run `npm ci`, then `npm start` or `npm run -s tollgate -- <command>`; they bring Node 24 along" : "install Node 24 or newer";
  console.error(`tollgate needs Node 24 or newer, and this is Node ${process.versions.node}: ${mend}.`);
  process.exitCode = 1;
} else {
  await import(existsSync(source) ? source.href : new URL("../dist/cli/index.js", import.meta.url).href);
}
