/**
 * K1: the only module that opens outbound connections. It connects to destinations made from the configuration, never
 * to a string of a caller's; it follows no redirect; and it has two doors: `infer` for work that was admitted, `system`
 * for the gateway's own errands.
 */
import { lookup as systemLookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import type { Cancelled } from "../kernel/cancellation.ts";
import type { ErrorCode } from "../kernel/error-codes.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { isSame } from "../kernel/same.ts";
import type { Secret } from "../kernel/secret.ts";
import { isMinted, type Admission } from "./admission.ts";
import { mayConnect } from "./address-guard.ts";
import { createPool, type Pool } from "./http1/pool.ts";
import { createReply, type ReplyFault, type UpstreamReply } from "./reply.ts";

/** What `system` may be used for. */
export type SystemPurpose = "count_tokens" | "probe" | "webhook";

/** One request, ready for the wire. */
export interface OutboundRequest {
  /** `https://host[:port]` of a configured destination. */
  readonly origin: string;
  readonly method: "POST" | "GET" | "HEAD" | "PUT";
  /** Path and query. */
  readonly path: string;
  /** Flat list: name, value, … */
  readonly headers: readonly string[];
  readonly body: Buffer | null;
  readonly timeouts: { readonly firstByteMs: number; readonly idleMs: number };
}

export interface Dialer {
  /**
   * Sends an admitted request; resolves when the reply's head is there, with its body paused.
   *
   * @throws DialError `upstream_unreachable`, `upstream_slow`, or the reason of the cancellation; `gateway_internal` without a
   *   minted admission
   */
  infer(admission: Admission, request: OutboundRequest, cancelled: Cancelled): Promise<UpstreamReply>;
  /** As `infer`, for the closed list of purposes. */
  system(purpose: SystemPurpose, request: OutboundRequest, cancelled: Cancelled): Promise<UpstreamReply>;
  /**
   * For a provider's own login with its cloud. The address is the operator's: from the configuration, the environment, or a
   * credential file; metadata services, which stand on link-local addresses, are reachable here and nowhere else.
   */
  login(request: OutboundRequest, cancelled: Cancelled): Promise<UpstreamReply>;
  /** Ends idle connections at once, busy ones when they are done. */
  close(): Promise<void>;
}

/** One whose configuration may change. */
export interface ConfigurableDialer extends Dialer {
  /** For connections that are opened from now on. Where that changes how they are opened, and for places that are gone, idle ones end. */
  configure(network: DialerNetwork): void;
}

/** How connections are opened. */
export interface DialerNetwork {
  readonly connectMs: number;
  readonly proxy: Secret | undefined;
  readonly noProxy: readonly string[];
  /** PEM certificates trusted in addition to the defaults; undefined keeps the defaults. */
  readonly certificates: readonly string[] | undefined;
}

export interface DialerOptions extends DialerNetwork {
  /** Whether a configured place, or the webhook, has this origin; nothing else may be dialled, but for logins. */
  readonly isConfigured: (origin: string) => boolean;
}

export function createDialer({ isConfigured, ...first }: DialerOptions): ConfigurableDialer {
  let network: DialerNetwork = first;
  const pools = new Map<string, Pool>();

  const loginPools = new Map<string, Pool>();

  const poolFor = (origin: string): Pool => {
    const known = pools.get(origin);
    if (known !== undefined) return known;
    if (!isConfigured(origin)) throw new GatewayError("gateway_internal", { internal: "dial to an origin that is not configured" });
    const made = createPool({ origin, connectMs: network.connectMs, lookup: guardedLookup, certificates: network.certificates, proxy: proxyFor(origin, network) });
    pools.set(origin, made);
    return made;
  };
  const loginPoolFor = (origin: string): Pool => {
    const known = loginPools.get(origin);
    if (known !== undefined) return known;
    const proxy = isMetadataOrigin(origin) ? undefined : proxyFor(origin, network);
    const made = createPool({ origin, connectMs: network.connectMs, lookup: isMetadataOrigin(origin) ? systemLookupOf : guardedLookup, certificates: network.certificates, proxy });
    loginPools.set(origin, made);
    return made;
  };

  // Nothing here may close over the request: its body would live as long as the reply.
  const send = (request: OutboundRequest, cancelled: Cancelled, poolOf = poolFor): Promise<UpstreamReply> => {
    const { promise, reply } = expectReply(cancelled);
    if (cancelled.reason === undefined) {
      const { timeouts, ...wire } = request;
      reply.attach(poolOf(request.origin).send({ ...wire, ...timeouts }, reply.sink));
    }
    return promise;
  };

  return {
    async infer(admission, request, cancelled) {
      if (!isMinted(admission)) throw new GatewayError("gateway_internal", { internal: "dial without admission" });
      return send(request, cancelled);
    },
    system: async (_purpose, request, cancelled) => send(request, cancelled),
    login: async (request, cancelled) => send(request, cancelled, loginPoolFor),
    configure(next) {
      const isOther = !isSame(network, next);
      network = next;
      for (const [origin, pool] of pools) {
        if (!isOther && isConfigured(origin)) continue;
        pool.close();
        pools.delete(origin);
      }
      for (const [origin, pool] of isOther ? loginPools : []) {
        pool.close();
        loginPools.delete(origin);
      }
    },
    close() {
      for (const pool of [...pools.values(), ...loginPools.values()]) pool.close();
      return Promise.resolve();
    },
  };
}

function expectReply(cancelled: Cancelled): { promise: Promise<UpstreamReply>; reply: ReturnType<typeof createReply> } {
  const { promise, resolve, reject } = Promise.withResolvers<UpstreamReply>();
  const reply = createReply(cancelled, resolve, (fault) => reject(dialError(fault)));
  if (cancelled.reason !== undefined) reject(dialError({ kind: "aborted", reason: cancelled.reason, wasSent: false }));
  return { promise, reply };
}

function proxyFor(origin: string, options: DialerNetwork): { url: string; authorization: string | undefined } | undefined {
  const host = new URL(origin).hostname.replace(/^\[|\]$/g, "");
  if (options.proxy === undefined || isExempt(host, options.noProxy)) return undefined;
  const proxy = new URL(options.proxy.reveal());
  const user = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  const authorization = user === ":" ? undefined : `Basic ${Buffer.from(user).toString("base64")}`;
  return { url: `${proxy.protocol}//${proxy.host}`, authorization };
}

/** Resolves as the system does, then drops every address the configured name may not lead to. */
const guardedLookup: LookupFunction = (hostname, lookupOptions, callback) => {
  systemLookup(hostname, { ...lookupOptions, all: true }, (fault, addresses) => {
    if (fault !== null) return callback(fault, "", 0);
    const allowed = addresses.filter(({ address }) => mayConnect(hostname, address));
    const first = allowed[0];
    if (first === undefined) return callback(Object.assign(new Error("resolves to a forbidden address"), { code: "EFORBIDDENADDRESS" }), "", 0);
    if (lookupOptions.all === true) callback(null, allowed);
    else callback(null, first.address, first.family);
  });
};

/** Metadata services: Google's by its name, the others by their addresses, which the guard takes as the operator's word. */
function isMetadataOrigin(origin: string): boolean {
  const host = new URL(origin).hostname;
  return host === "metadata.google.internal" || (isIP(host) === 4 && host.startsWith("169.254.")) || host === "[fd00:ec2::254]" || host === "[fd00:ec2::23]";
}

const systemLookupOf: LookupFunction = (hostname, lookupOptions, callback) => systemLookup(hostname, lookupOptions, callback as never);

/** `NO_PROXY` as curl and Node read it: exact host, `.suffix`, suffix of labels, or `*`. */
function isExempt(host: string, noProxy: readonly string[]): boolean {
  return noProxy.some((entry) => {
    const named = entry.trim().toLowerCase();
    // A port is cut off, but not the end of an IPv6 address that stands without brackets.
    const rule = (named.startsWith("[") ? named.replace(/^\[([^\]]*)\].*$/, "$1") : /:.*:/.test(named) ? named : named.replace(/:\d+$/, "")).replace(/^\*?\./, "");
    return rule === "*" || (rule !== "" && (host === rule || host.endsWith(`.${rule}`)));
  });
}

/**
 * No reply came. `wasSent` is false when the request never began to leave, so the upstream cannot have billed it; otherwise
 * it may have.
 */
export class DialError extends GatewayError {
  readonly wasSent: boolean;

  constructor(code: ErrorCode, wasSent: boolean, internal: string) {
    super(code, { internal });
    this.wasSent = wasSent;
  }
}

/** Maps a transport fault to the catalogue; its words stay inside, since they may hold addresses. */
function dialError(fault: ReplyFault): DialError {
  if (fault.kind === "aborted") return new DialError(fault.reason.code, fault.wasSent, fault.reason.details.internal ?? "");
  return new DialError(fault.kind === "slow" ? "upstream_slow" : "upstream_unreachable", fault.wasSent, fault.detail);
}
