// Guarantee: the shared AWS files mean what AWS's tools take them to mean, and a line that means nothing is an error that names
// file and line and shows nothing of it.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergeShared, parseIni } from "./ini.ts";

const flat = (text: string) => parseIni(text, "config").map(({ name, settings }) => [name, Object.fromEntries([...settings].map(([key, { value }]) => [key, value]))]);

describe("parseIni", () => {
  it("reads headings, settings, comments, blanks, quotes, Windows line ends and a byte order mark", () => {
    const text = [
      "\ufeff# a comment",
      "[default]",
      "region = eu-west-1 ; why",
      "  ; indented comment",
      "AWS_Access_Key_Id=AKIA#1=2",
      "",
      "[ profile  \"two words\" ] # heading",
      "s3 =",
      "  addressing_style = path",
      "  role_arn = not:mine",
      "role_arn = arn:x",
      "empty =",
      "[sso-session 'own']",
      "\tsso_region\t=\teu-central-1",
    ].join("\r\n");
    expect(flat(text)).toEqual([
      ["default", { region: "eu-west-1", aws_access_key_id: "AKIA#1=2" }],
      ["profile two words", { "s3.addressing_style": "path", "s3.role_arn": "not:mine", role_arn: "arn:x" }],
      ["sso-session own", { sso_region: "eu-central-1" }],
    ]);
  });

  it("takes a doubled section for one, and the later of doubled settings", () => {
    expect(flat("[a]\nx=1\n[b]\nx=3\n[a]\nx=2\ny=1")).toEqual([["a", { x: "2", y: "1" }], ["b", { x: "3" }]]);
  });

  it.each([
    ["a heading without its end", "[default]\nregion=x\n[profile hunter2", 3],
    ["a heading with something behind it", "[default] hunter2", 1],
    ["an empty heading", "[  ]", 1],
    ["a setting above all headings", "\n\naws_secret_access_key=hunter2", 3],
    ["a line that is no setting", "[default]\nhunter2", 2],
    ["a setting without a name", "[default]\n= hunter2", 2],
  ])("refuses %s with file and line, and keeps its words to itself", (_, text, line) => {
    expect(() => parseIni(text, "~/.aws/credentials")).toThrow(new RegExp(`^~/\\.aws/credentials:${line}: `));
    expect(() => parseIni(text, "f")).not.toThrow(/hunter2/);
  });

  it("never shows what a line says, whatever it is", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom(..."[]=#; \tab\n".split("")), maxLength: 12 }), { maxLength: 6 }), (lines) => {
        try {
          parseIni(lines.map((line) => `${line}SECRET`).join("\n"), "file");
        } catch (error) {
          expect(String(error)).toMatch(/file:\d+: this /);
          expect(String(error)).not.toContain("SECRET");
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("mergeShared", () => {
  it("joins both files by profile, the credentials file first, and leaves other headings out", () => {
    const shared = mergeShared(
      parseIni("[default]\nregion=a\n[profile work]\nregion=b\naws_access_key_id=old\n[work2]\nx=1\n[services s]\ny=1\n[sso-session s]\nsso_region=c", "config"),
      parseIni("[work]\naws_access_key_id=new\n[profile odd]\nz=1", "credentials"),
    );
    expect([...shared.profiles.keys()]).toEqual(["default", "work"]);
    expect(shared.profiles.get("work")!.settings.get("aws_access_key_id")).toEqual({ value: "new", place: "credentials:2" });
    expect(shared.profiles.get("work")!.settings.get("region")).toEqual({ value: "b", place: "config:4" });
    expect([...shared.ssoSessions.keys()]).toEqual(["s"]);
  });
});
