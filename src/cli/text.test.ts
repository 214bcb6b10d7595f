// Guarantees that what a command prints is aligned, exact, and cannot be used to run anything on the reader's side.
import { describe, expect, it } from "vitest";
import { formatCount, formatDollars, formatInstant, formatNotice, plainText, renderCsv, renderFacts, renderTable } from "./text.ts";

const plain = { style: (_: string, text: string): string => text };

describe("renderTable", () => {
  it("aligns columns to their widest cell and leaves no trailing spaces", () => {
    const table = renderTable([{ title: "NAME" }, { title: "COUNT", align: "right" }, { title: "NOTE" }], [["a", "1", ""], ["longer", "1,000", "x"]], plain);
    expect(table).toBe(["NAME    COUNT  NOTE", "a           1", "longer  1,000  x"].join("\n"));
  });

  it("takes control characters out of cells", () => {
    const table = renderTable([{ title: "A" }], [["red\u001b[31m\nnext"]], plain);
    expect(table).toBe("A\nred [31m next");
  });
});

describe("renderFacts", () => {
  it("leaves out what has no value", () => {
    expect(renderFacts([["id", "1"], ["alias", ""], ["user", "u"]], plain)).toBe("id    1\nuser  u");
  });
});

describe("renderCsv", () => {
  it("quotes separators, quotes and line breaks", () => {
    expect(renderCsv(["a", "b"], [['say "hi", you', "two\nlines"]])).toBe('a,b\n"say ""hi"", you","two\nlines"');
  });

  it("keeps spreadsheets from running a cell, and leaves negative amounts alone", () => {
    expect(renderCsv(["a", "b", "c"], [["=1+1", "-0.5", -3]])).toBe("a,b,c\n'=1+1,-0.5,-3");
  });
});

describe("formats", () => {
  it("groups thousands", () => {
    expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(["0", "999", "1,000", "1,234,567"]);
  });

  it("shows dollars exactly with at least four digits", () => {
    expect([formatDollars("1.5"), formatDollars(0.000000123), formatDollars("1e-7"), formatDollars(""), formatDollars(undefined)]).toEqual(["1.5000", "0.000000123", "0.0000001", "-", "-"]);
  });

  it("shows instants in UTC and other text as it is", () => {
    expect([formatInstant("2026-01-31T14:05:59+01:00"), formatInstant("soon")]).toEqual(["2026-01-31 13:05", "soon"]);
  });

  it("writes a place as compilers do and leaves out what is unknown", () => {
    expect(formatNotice({ file: "a.yaml", line: 3, column: 7, path: "models[0]", message: "must be a list" })).toBe("a.yaml:3:7: models[0]: must be a list");
    expect(formatNotice({ file: "a.yaml", line: 0, column: 0, path: "", message: "is empty" })).toBe("a.yaml: is empty");
  });

  it("turns runs of control and direction characters into one space", () => {
    expect(plainText("a\u202e\u0007b")).toBe("a b");
  });
});
