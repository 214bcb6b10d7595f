/** What becomes of each key of a LiteLLM file: for one file's keys, and for the whole table of the documentation. */
import type { KeyRow, KeySection } from "./litellm-key-row.ts";
import { litellmKeys, sectionPrefixes } from "./litellm-keys.ts";

/** A line of the table that `config check` prints. */
export interface KeyVerdict {
  /** Path with `[]` for any entry of a list. */
  readonly key: string;
  readonly verdict: "supported" | "not yet" | "not enforced" | "ignored" | "unknown";
  readonly reason: string;
}

/** A key that stands in a file. */
export interface FoundKey {
  readonly section: KeySection;
  readonly name: string;
  /** Undefined for a name that LiteLLM does not have. */
  readonly row: KeyRow | undefined;
  /** Its value switches it on. */
  readonly isOn: boolean;
}

/** Each key once, in the order of the file, with how often it stands there when that is more than once. */
export function configTable(found: readonly FoundKey[]): readonly KeyVerdict[] {
  const lines = new Map<string, { readonly first: FoundKey; count: number; isOn: boolean }>();
  for (const key of found) {
    const path = sectionPrefixes[key.section] + key.name;
    const line = lines.get(path);
    if (line === undefined) lines.set(path, { first: key, count: 1, isOn: key.isOn });
    else {
      line.count += 1;
      line.isOn ||= key.isOn;
    }
  }
  return [...lines].map(([path, { first, count, isOn }]): KeyVerdict => ({ key: count > 1 ? `${path} (${count} times)` : path, verdict: verdictOf(first.row, isOn), reason: first.row?.reason ?? "LiteLLM has no such key here" }));
}

function verdictOf(row: KeyRow | undefined, isOn: boolean): KeyVerdict["verdict"] {
  if (row === undefined) return "unknown";
  if (row.verdict !== "not_yet") return row.verdict;
  return row.restricts && isOn ? "not enforced" : "not yet";
}

const sectionTitles: Readonly<Record<KeySection, string>> = {
  top: "Top level",
  model: "`model_list[]`",
  params: "`model_list[].litellm_params`",
  info: "`model_list[].model_info`",
  credential: "`credential_list[]`",
  router: "`router_settings`",
  litellm: "`litellm_settings`",
  general: "`general_settings`",
};

/** The whole table as Markdown, one part per section, neighbours with the same fate on one line. */
export function keyTableMarkdown(): string {
  const parts = Object.entries(sectionTitles).map(([section, title]) => {
    const rows = new Map<string, { readonly names: string[]; readonly row: KeyRow }>();
    for (const row of litellmKeys.filter((candidate) => candidate.section === section)) {
      const key = `${row.verdict} ${row.reason} ${row.restricts}`;
      const known = rows.get(key);
      if (known === undefined) rows.set(key, { names: [row.name], row });
      else known.names.push(row.name);
    }
    const lines = [...rows.values()].map(({ names, row }) => `| ${names.map((name) => `\`${name}\``).join(", ")} | ${markdownVerdict(row)} | ${row.reason} |`);
    return [`### ${title}`, "", "| Key | Verdict | Here |", "|---|---|---|", ...lines].join("\n");
  });
  return parts.join("\n\n");
}

function markdownVerdict(row: KeyRow): string {
  if (row.verdict === "supported") return "supported";
  if (row.verdict === "ignored") return "ignored";
  return row.restricts ? "not yet; **restricts**" : "not yet";
}
