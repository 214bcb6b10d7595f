/**
 * K3: every path this process answers, in one table, both planes. Authorisation runs on the row that is executed, and the
 * row is found by the request target's own path: nothing is ever rebuilt from a `Host` header.
 */
import type { AdminHandler } from "../admin/handler.ts";
import type { ErrorCode } from "../kernel/error-codes.ts";
import type { Ingress } from "../pipeline/ingress.ts";
import type { Operation } from "../providers/provider.ts";

/** How a refusal on this row is written. */
export type ErrorShape = "anthropic" | "bedrock" | "litellm";

interface RowBase {
  readonly methods: readonly string[];
  /** Exact, or with `{name}` segments; `{name...}` at the end takes the rest. */
  readonly path: string;
  readonly errors: ErrorShape;
}

/** Answers that need no key. */
export type OpenAnswer = "hello" | "events" | "live" | "ready" | "profiles" | "profile";

/**
 * What a path asks for and how its client is spoken to.
 *
 * @throws GatewayError for values that the path may not hold
 */
export type OpenInference = (params: Readonly<Record<string, string>>) => { readonly operation: Operation; readonly ingress: Ingress };

/** What answers a row. */
export type RouteRow = RowBase &
  (
    | { readonly plane: "inference"; readonly open: OpenInference; readonly audit: "entry" }
    | { readonly plane: "models"; readonly audit: "none" }
    | { readonly plane: "open"; readonly answer: OpenAnswer; readonly audit: "none" }
    | { readonly plane: "metrics"; readonly audit: "none" }
    | { readonly plane: "unsupported"; readonly code: ErrorCode; readonly audit: "none" }
    | { readonly plane: "admin"; readonly role: "admin" | "developer"; readonly audit: "read" | "change"; readonly handler: AdminHandler; readonly bodyBytesMax: number }
  );

/** A matched row with the values of its `{name}` segments, decoded. */
export interface RouteMatch {
  readonly row: RouteRow;
  readonly params: Readonly<Record<string, string>>;
}

/** `methods`: the path exists, but for these methods only. */
export type MatchResult = RouteMatch | { readonly methods: readonly string[] } | "none";

export interface Router {
  match(method: string, path: string): MatchResult;
  readonly rows: readonly RouteRow[];
}

/** @throws Error at start-up when two rows take the same method and path */
export function createRouter(rows: readonly RouteRow[]): Router {
  const exact = new Map<string, RouteRow[]>();
  const patterns: { readonly segments: readonly string[]; readonly row: RouteRow }[] = [];
  for (const row of rows) {
    if (row.path.includes("{")) patterns.push({ segments: row.path.split("/"), row });
    else {
      const others = exact.get(row.path) ?? [];
      if (others.some((other) => other.methods.some((method) => row.methods.includes(method)))) throw new Error(`route ${row.path} is there twice`);
      exact.set(row.path, [...others, row]);
    }
  }
  return {
    rows,
    match(method, path) {
      const candidates: RouteMatch[] = (exact.get(path) ?? []).map((row) => ({ row, params: {} }));
      if (candidates.length === 0) {
        const segments = path.split("/");
        for (const pattern of patterns) {
          const params = matchSegments(pattern.segments, segments);
          if (params !== undefined) candidates.push({ row: pattern.row, params });
        }
      }
      if (candidates.length === 0) return "none";
      return candidates.find(({ row }) => row.methods.includes(method)) ?? { methods: [...new Set(candidates.flatMap(({ row }) => row.methods))] };
    },
  };
}

function matchSegments(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const rest = /^\{(\w+)\.\.\.\}$/.exec(part);
    if (rest !== null) {
      if (segments.length < index + 1) return undefined;
      const values = segments.slice(index).map(decodeSegment);
      if (values.includes(undefined)) return undefined;
      params[rest[1]!] = values.join("/");
      return params;
    }
    const segment = segments[index];
    if (segment === undefined) return undefined;
    const name = /^\{(\w+)\}$/.exec(part);
    if (name === null) {
      if (part !== segment) return undefined;
      continue;
    }
    const value = decodeSegment(segment);
    if (value === undefined || value === "") return undefined;
    params[name[1]!] = value;
  }
  return pattern.length === segments.length ? params : undefined;
}

function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
