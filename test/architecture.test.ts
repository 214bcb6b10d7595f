// Guarantee: the house keeps its walls. Who may import whom, no import cycles, the choke points, file sizes, a header on each
// file, no word of other people's machines: each as a test, so that forgetting is a build failure.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.includes("node_modules"))
    .map((file) => join(folder, file));
}

const sources = filesBelow("src").filter((file) => !file.endsWith(".test.ts"));

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), "utf8");
  const found: Import[] = [];
  for (const match of text.matchAll(/^\s*(?:import|export)\s+(type\s+)?(\{[^}]*\}|\*[^"']*|[\w$]+)?\s*(?:from\s+)?["']([^"']+)["']/gms)) {
    const [, typeWord, names = "", to = ""] = match;
    const isTypeOnly = typeWord !== undefined || (names.startsWith("{") && names.slice(1, -1).split(",").every((name) => name.trim() === "" || name.trim().startsWith("type ")));
    found.push({ from: file, to: to.startsWith(".") ? normalize(join(dirname(file), to)) : to, isTypeOnly });
  }
  for (const match of text.matchAll(/\bimport\(\s*["']([^"']+)["']\s*\)/g)) {
    const to = match[1]!;
    found.push({ from: file, to: to.startsWith(".") ? normalize(join(dirname(file), to)) : to, isTypeOnly: false });
  }
  return found;
}

const imports = sources.flatMap(importsOf);

/** `src/providers/anthropic/index.ts` → `providers/anthropic`; files of `src` itself → their name. */
function roomOf(file: string): string {
  const parts = relative("src", file).split("/");
  if (parts.length === 1) return parts[0]!;
  return (parts[0] === "providers" || parts[0] === "dialects") && parts.length > 2 ? `${parts[0]}/${parts[1]}` : parts[0]!;
}

/** Room → rooms it may import values and types from; `types:` rooms for types only. Its own room is always allowed. */
const matrix: Record<string, readonly string[]> = {
  kernel: [],
  wire: ["kernel"],
  egress: ["kernel", "wire", "types:config"],
  dialects: ["kernel", "wire", "dialects/*"],
  "dialects/*": ["kernel", "wire", "dialects"],
  credentials: ["kernel"],
  providers: ["kernel", "wire", "types:credentials", "providers/*"],
  "providers/*": ["kernel", "wire", "credentials", "providers", "types:dialects"],
  identity: ["kernel", "types:audit"],
  ledger: ["kernel", "types:audit"],
  limits: ["kernel"],
  metering: ["kernel", "types:config", "types:ledger"],
  audit: ["kernel"],
  config: ["kernel", "ledger", "types:limits"],
  routing: ["kernel", "config"],
  telemetry: ["kernel", "types:config"],
  pipeline: ["kernel", "wire", "egress", "dialects", "providers", "identity", "ledger", "limits", "metering", "audit", "config", "routing", "telemetry"],
  store: ["kernel", "types:identity", "types:ledger", "types:audit", "types:pipeline", "types:config"],
  reconcile: ["kernel", "types:ledger"],
  admin: ["kernel", "identity", "ledger", "routing", "config", "audit", "metering", "reconcile"],
  server: ["kernel", "wire", "config", "pipeline", "admin", "telemetry", "types:identity", "types:providers", "dialects"],
  main: ["kernel", "ledger", "limits", "metering", "dialects", "providers", "config", "egress", "routing", "types:admin", "types:audit", "types:credentials", "types:pipeline", "types:store", "types:telemetry"],
  cli: ["kernel", "config", "admin", "main.ts", "providers", "reconcile"],
};

/**
 * The demo provider borrows the Anthropic envelope: it is that format's simulation. `doctor` probes upstreams through the
 * dialer, so that it meets the same proxy, certificates and address rules as the gateway.
 */
const exceptions = new Set(["providers/demo → providers/anthropic", "cli → egress"]);

function mayImport(from: string, to: string, isTypeOnly: boolean): boolean {
  if (from === to || from === "main.ts" || exceptions.has(`${from} → ${to}`)) return true;
  const rules = matrix[from] ?? matrix[from.replace(/\/.*/, "/*")] ?? [];
  const names = [to, to.replace(/\/.*/, "/*"), ...(to.includes("/") ? [] : [])];
  return names.some((name) => rules.includes(name) || (isTypeOnly && rules.includes(`types:${name.replace("/*", "")}`)));
}

describe("walls", () => {
  it("no room imports what the matrix does not allow", () => {
    const wrong = imports.filter(({ to }) => to.startsWith("src/")).filter(({ from, to, isTypeOnly }) => !mayImport(roomOf(from), roomOf(to), isTypeOnly));
    expect(wrong.map(({ from, to, isTypeOnly }) => `${from} → ${to}${isTypeOnly ? " (type)" : ""}`)).toEqual([]);
  });

  it("nothing but the command line imports main.ts", () => {
    expect(imports.filter(({ to }) => to === "src/main.ts").map(({ from }) => from).filter((from) => !from.startsWith("src/cli/"))).toEqual([]);
  });

  it("values are imported without cycles", () => {
    const edges = new Map<string, string[]>();
    for (const { from, to, isTypeOnly } of imports) if (!isTypeOnly && to.startsWith("src/")) edges.set(from, [...(edges.get(from) ?? []), to]);
    const state = new Map<string, "open" | "done">();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (state.get(file) === "done") return;
      if (state.get(file) === "open") return void cycles.push([...path.slice(path.indexOf(file)), file].join(" → "));
      state.set(file, "open");
      for (const next of edges.get(file) ?? []) visit(next, [...path, file]);
      state.set(file, "done");
    };
    for (const file of sources) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it("an adapter is reached through its index only", () => {
    const inside = /^src\/(?:providers|dialects)\/[^/]+\//;
    const wrong = imports.filter(({ from, to }) => inside.test(to) && !to.endsWith("/index.ts") && roomOf(from) !== roomOf(to) && !exceptions.has(`${roomOf(from)} → ${roomOf(to)}`) && from !== "src/main.ts");
    expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
  });
});

/** A pattern, what it guards, and the only files that may hold it. */
const chokePoints: readonly { readonly what: string; readonly pattern: RegExp; readonly allowed: readonly RegExp[] }[] = [
  { what: "the system's clocks", pattern: /\bDate\.now\b|\bperformance\.now\b|\bnew Date\(\)|(?<![.\w])set(?:Timeout|Interval)\(/, allowed: [/^src\/kernel\/clock\.ts$/, /^src\/cli\//, /checkpoint-worker\.ts$/] },
  { what: "chance", pattern: /\bMath\.random\b/, allowed: [] },
  { what: "the environment", pattern: /\bprocess\.env\b/, allowed: [/^src\/cli\//] },
  { what: "the console", pattern: /\bconsole\.|\bprocess\.std(?:out|err)\b/, allowed: [/^src\/cli\//] },
  {
    what: "K1: outbound sockets",
    pattern: /(?<![.\w])fetch\(|from "undici"|"node:(?:http2|dgram)"|import \{[^}]*\bconnect\b[^}]*\} from "node:(?:net|tls)"|import \* as (?:net|tls|https?)\b|import \{[^}]*\b(?:request|get)\b[^}]*\} from "node:https?"/,
    allowed: [/^src\/egress\/http1\/pool\.ts$/, /^src\/cli\/client\.ts$/],
  },
  { what: "K2: minting an admission", pattern: /\bmintAdmission\b/, allowed: [/^src\/egress\/admission\.ts$/, /^src\/pipeline\/admit\.ts$/] },
  { what: "listeners", pattern: /\bcreateServer\b|\bcreateHttpServer\b/, allowed: [/^src\/server\/http\.ts$/, /^src\/providers\/demo\/upstream\.ts$/] },
  {
    what: "K4: revealing a secret",
    pattern: /\.reveal\(\)/,
    allowed: [/^src\/kernel\/secret\.ts$/, /^src\/providers\/[^/]+\/authorize\.ts$/, /^src\/credentials\//, /^src\/providers\/settings\.ts$/, /^src\/egress\/dialer\.ts$/, /^src\/identity\/virtual-key\.ts$/, /^src\/identity\/session-token\.ts$/, /^src\/main\/(?:key-files|webhook-signature)\.ts$/, /^src\/cli\//],
  },
  { what: "K5: SQL", pattern: /from "node:sqlite"|\b(?:db|database|connection)\.prepare\(|\.exec\(\s*[`"'](?:BEGIN|SELECT|INSERT|UPDATE|DELETE|PRAGMA|CREATE)/, allowed: [/^src\/store\//] },
  { what: "other processes", pattern: /node:child_process/, allowed: [/^src\/cli\/claude\.ts$/, /^src\/main\/credential-runtime\.ts$/] },
  { what: "evaluated code", pattern: /node:vm|\beval\(|new Function\(/, allowed: [] },
  { what: "headersDistinct, which a request can crash on some Node versions", pattern: /\bheadersDistinct\b/, allowed: [] },
];

describe("choke points", () => {
  it.each(chokePoints)("$what stays in its files", ({ pattern, allowed }) => {
    const strayed = sources.filter((file) => !allowed.some((rule) => rule.test(file)) && pattern.test(withoutComments(readFileSync(join(root, file), "utf8"))));
    expect(strayed).toEqual([]);
  });

  it("bodies of requests are parsed in the dialects only", () => {
    const strayed = filesBelow("src/pipeline").filter((file) => !file.endsWith(".test.ts") && /\bJSON\.parse\b/.test(readFileSync(join(root, file), "utf8")));
    expect(strayed).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

describe("form", () => {
  it("each source file says in its first lines why it exists", () => {
    expect(sources.filter((file) => !/^(?:#!.*\n)?(?:\/\*\*|\/\/)/.test(readFileSync(join(root, file), "utf8")))).toEqual([]);
  });

  it("no source file is longer than 420 lines", () => {
    const long = sources.map((file) => [file, readFileSync(join(root, file), "utf8").split("\n").length] as const).filter(([, lines]) => lines > 420);
    expect(long).toEqual([]);
  });

  it("there is no default export, no any, no suppressed check", () => {
    const pattern = /^export default\b|:\s*any\b|\bas any\b|@ts-(?:ignore|expect-error|nocheck)|oxlint-disable/m;
    expect(sources.filter((file) => pattern.test(readFileSync(join(root, file), "utf8")))).toEqual([]);
  });

  it("no committed text names a machine's own paths", () => {
    const texts = ["src", "test", "bench", "scripts", "docs"].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((file) => /\.(?:ts|md|json|yaml)$/.test(file) && !file.includes("node_modules"))
        .map((file) => join(root, folder, file)),
    );
    // Written in parts, so that this line is not a finding of its own.
    const pattern = new RegExp(["(?<![A-Za-z0-9_.-])/", "(?:work|farm|root)", "/"].join(""));
    expect(texts.filter((file) => statSync(file).isFile() && pattern.test(readFileSync(file, "utf8"))).map((file) => relative(root, file))).toEqual([]);
  });

  it("every dependency is pinned exactly, used, and needs no install script", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, Record<string, string>>;
    const all = { ...manifest["dependencies"], ...manifest["devDependencies"] };
    expect(Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    const used = new Set(imports.map(({ to }) => to));
    expect(Object.keys(manifest["dependencies"] ?? {}).filter((name) => ![...used].some((to) => to === name || to.startsWith(`${name}/`)))).toEqual([]);
    const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as { packages: Record<string, { hasInstallScript?: boolean; dev?: boolean; optional?: boolean }> };
    const runtime = Object.entries(lock.packages).filter(([path, entry]) => path.startsWith("node_modules/") && entry.dev !== true && entry.optional !== true);
    expect(runtime.filter(([, entry]) => entry.hasInstallScript === true).map(([path]) => path)).toEqual([]);
    expect(runtime.length).toBeLessThanOrEqual(70);
  });

  it("each lockfile is whole: it names every platform's package and no registry's address, so that `npm ci` passes on any machine", () => {
    for (const file of ["package-lock.json", "test/clients/package-lock.json"]) {
      const lock = JSON.parse(readFileSync(join(root, file), "utf8")) as {
        packages: Record<string, { optionalDependencies?: Record<string, string>; resolved?: string }>;
      };
      const present = new Set(Object.keys(lock.packages).map((path) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length)));
      const wanted = Object.values(lock.packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
      expect(wanted.filter((name) => !present.has(name))).toEqual([]);
      expect(Object.values(lock.packages).filter((entry) => entry.resolved?.includes("://") === true)).toEqual([]);
    }
  });
});
