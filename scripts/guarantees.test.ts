// Guarantee: docs/guarantees.md shows the figures that were measured and nothing else; each promise has its figures, each figure the
// command that gives it again, and each command a test that leaves just that figure.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { commands, promises, readFigures, withAffinityTable, withTable } from "./guarantees.ts";

const root = join(import.meta.dirname, "..");
const page = readFileSync(join(root, "docs", "guarantees.md"), "utf8");

describe("the guarantees", () => {
  it("are on the page as they were measured", () => {
    expect(page).toBe(withTable(page, readFigures()));
  });

  it("are on the page about routing as well, what ways of choosing a target cost", () => {
    const routing = readFileSync(join(root, "docs", "routing.md"), "utf8");
    expect(routing).toBe(withAffinityTable(routing, readFigures()));
  });

  it("have figures, each of them, and no figure is without a promise", () => {
    const named = promises.flatMap(({ proofs }) => proofs);
    expect(Object.keys(readFigures()).toSorted()).toEqual([...new Set(named)].toSorted());
  });

  it.each(promises.flatMap(({ promise, command, proofs }) => proofs.map((proof) => ({ promise, command, proof }))))("$proof is left by a file that a command runs", ({ command, proof }) => {
    expect(commands[command]).toBeDefined();
    const leavers = Object.values(commands).filter(({ file }) => existsSync(join(root, file)) && readFileSync(join(root, file), "utf8").includes(`"${proof}"`));
    expect(leavers.length).toBeGreaterThan(0);
  });
});
