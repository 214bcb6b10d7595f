/**
 * The shared files of AWS's tools, `config` and `credentials`, as profiles and SSO sessions
 * (https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html; merging as in smithy-lang/smithy-typescript, packages/core,
 * shared-ini-file-loader; checked 2026-11). A line that is none of theirs is an error with file and line, as in AWS's Python
 * tools, since the JavaScript ones step over it in silence. No error shows what a line says: it may be a secret.
 */
import { CredentialError } from "../runtime.ts";

/** A setting and where it stands. */
export interface Setting {
  readonly value: string;
  /** `file:line`. */
  readonly place: string;
}

/** A section, by lower-case names of its settings. */
export interface Section {
  readonly name: string;
  /** `file:line` of its first heading. */
  readonly place: string;
  readonly settings: ReadonlyMap<string, Setting>;
}

/** Both files as one. */
export interface SharedConfig {
  readonly profiles: ReadonlyMap<string, Section>;
  readonly ssoSessions: ReadonlyMap<string, Section>;
}

interface OpenSection extends Section {
  readonly settings: Map<string, Setting>;
}

/**
 * Sections under their full headings (`default`, `profile x`, `sso-session y`), quotes and spare blanks taken out.
 *
 * @param file as errors name it
 */
export function parseIni(text: string, file: string): readonly Section[] {
  const sections = new Map<string, OpenSection>();
  let section: OpenSection | undefined;
  let group: string | undefined;
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    const place = `${file}:${index + 1}`;
    const said = line.replace(/(?:^|\s)[#;].*$/, "").trim();
    if (said === "") continue;
    if (said.startsWith("[")) {
      const name = headingOf(said, place);
      section = sections.get(name) ?? { name, place, settings: new Map() };
      sections.set(name, section);
      group = undefined;
      continue;
    }
    const equals = said.indexOf("=");
    if (equals === -1) throw new CredentialError(`${place}: this line is neither a heading in brackets nor a setting with "="`, false);
    const name = said.slice(0, equals).trim().toLowerCase();
    if (name === "") throw new CredentialError(`${place}: this setting has no name in front of "="`, false);
    if (section === undefined) throw new CredentialError(`${place}: this setting stands above the first heading in brackets`, false);
    const isIndented = /^\s/.test(line);
    if (!isIndented) group = undefined;
    const value = said.slice(equals + 1).trim();
    // `s3 =` opens a group of indented settings, which are not the section's own.
    if (value === "" && !isIndented) group = name;
    else section.settings.set(group === undefined ? name : `${group}.${name}`, { value, place });
  }
  return [...sections.values()];
}

function headingOf(said: string, place: string): string {
  const inside = /^\[\s*([^[\]\s](?:[^[\]]*[^[\]\s])?)\s*\]$/.exec(said)?.[1];
  if (inside === undefined) throw new CredentialError(`${place}: this heading is not of the form [name]`, false);
  const [, kind, quoted] = /^([\w-]+)\s+(?=\S)(.*)$/.exec(inside) ?? [];
  return kind === undefined || quoted === undefined ? inside : `${kind} ${quoted.replace(/^(["'])(.*)\1$/, "$2")}`;
}

/**
 * Profiles of both files; where both have a setting, the credentials file's holds.
 *
 * @param config its profiles have headings `[default]` or `[profile x]`; other headings are none of ours
 * @param credentials its headings are the profiles' bare names
 */
export function mergeShared(config: readonly Section[], credentials: readonly Section[]): SharedConfig {
  const profiles = new Map<string, OpenSection>();
  const ssoSessions = new Map<string, Section>();
  const add = (name: string, { place, settings }: Section): void => {
    const known = profiles.get(name);
    if (known === undefined) profiles.set(name, { name, place, settings: new Map(settings) });
    else for (const [key, setting] of settings) known.settings.set(key, setting);
  };
  for (const section of config) {
    const [, kind, name = ""] = /^(profile|sso-session) (.*)$/.exec(section.name) ?? [];
    if (kind === "sso-session") ssoSessions.set(name, section);
    else if (kind === "profile") add(name, section);
    else if (section.name === "default") add("default", section);
  }
  for (const section of credentials) if (!section.name.includes(" ")) add(section.name, section);
  return { profiles, ssoSessions };
}
