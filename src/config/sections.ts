/** The sections that both file formats share, from checked values to the form the rest of the house reads. */
import { dirname, resolve } from "node:path";
import type { z } from "zod";
import { Secret } from "../kernel/secret.ts";
import { authoritiesFault, tlsFaults } from "../kernel/tls-pair.ts";
import { nodeAt, placeAt, plainValue, type MapNode, type Path } from "./document.ts";
import type { EgressConfig, GatewayConfig } from "./gateway-config.ts";
import { codeOf } from "./interpolate.ts";
import { remarksOf } from "./issues.ts";
import { noProxyFromEnvironment, proxyFromEnvironment, readProxy } from "./network.ts";
import { publicBindFault } from "./checks.ts";
import type { Report } from "./report.ts";
import type { ExtensionFile } from "./schema.ts";

/** What reading a file needs besides the file. */
export interface LoadContext {
  /** The main file, as it was named. */
  readonly path: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Throws when a file cannot be read. */
  readFile(path: string): string;
  readonly allowInsecureDevKey: boolean;
  readonly report: Report;
  /** See `LoadOptions`. */
  readonly clientLoginKinds?: ReadonlySet<string> | undefined;
}

/** Output of each schema of a shape. */
type Checked<Shape extends Record<string, z.ZodType>> = { [Name in keyof Shape]: z.output<Shape[Name]> };

/**
 * Checks sections one by one, so that a fault in one hides none in another; one with a fault counts as absent from here on.
 *
 * @param base path of the mapping that holds them
 */
export function checkSections<Shape extends Record<string, z.ZodType>>(shape: Shape, root: MapNode, base: Path, report: Report): Checked<Shape> {
  const result: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(shape)) {
    const path = [...base, name];
    const node = nodeAt(root, path);
    const checked = schema.safeParse(node === undefined ? undefined : plainValue(node));
    if (!checked.success) report.addErrors(remarksOf(checked.error.issues, root, path, schema).filter((remark) => !report.hasErrorAt(remark.path)));
    result[name] = checked.success ? checked.data : schema.parse(undefined);
  }
  return result as Checked<Shape>;
}

/** The part of a configuration that comes from these sections. */
export type Sections = Pick<GatewayConfig, "listen" | "egress" | "store" | "limits" | "timeouts" | "logging" | "metrics" | "forward" | "webhook">;

/** Reports an unreadable certificate, a proxy that is none, and a public bind that nobody confirmed. */
export function buildSections(file: ExtensionFile, root: MapNode, base: Path, context: LoadContext): Sections {
  const { listen, timeouts } = file;
  const bindFault = publicBindFault({ host: listen.host, isPublic: listen.public });
  const hostPath = [...base, "listen", "host"];
  if (bindFault !== undefined) context.report.fail(placeAt(root, hostPath), hostPath, bindFault);
  const metricsFault = file.metrics === undefined ? undefined : publicBindFault({ host: file.metrics.host, isPublic: listen.public });
  const metricsPath = [...base, "metrics", "host"];
  if (metricsFault !== undefined) context.report.fail(placeAt(root, metricsPath), metricsPath, metricsFault);
  const tls = listen.tls === undefined ? undefined : buildTls(listen.tls, root, [...base, "listen", "tls"], context);
  return {
    listen: { host: listen.host, port: listen.port, isPublic: listen.public, tls, trustedProxies: listen.trusted_proxies },
    egress: buildEgress(file.egress, root, base, context),
    store: buildStore(file.store, context),
    limits: { bodyBytesMax: file.limits.body_max, inFlightMax: file.limits.in_flight_max, inFlightPerKeyMax: file.limits.in_flight_per_key_max },
    timeouts: {
      connectMs: timeouts.connect,
      firstByteStreamMs: timeouts.first_byte_stream,
      firstBytePlainMs: timeouts.first_byte_plain,
      idleMs: timeouts.idle,
      totalMs: timeouts.total,
      pingMs: timeouts.ping,
      requestBodyMs: timeouts.request_body,
      drainMs: timeouts.drain,
    },
    logging: file.logging,
    metrics: file.metrics,
    webhook: file.webhook === undefined ? undefined : { url: file.webhook.url, secret: new Secret(file.webhook.secret) },
    forward: { claudeCodeHeaders: file.forward.claude_code_headers },
  };
}

function buildStore({ path, sync, spill, usage_retention: usageRetentionMs }: ExtensionFile["store"], context: LoadContext): GatewayConfig["store"] {
  const beside = (name: string | undefined): string | undefined => (name === undefined ? undefined : besideFile(context.path, name));
  return { path: beside(path), sync, usageRetentionMs, spill: { path: beside(spill.path), unbudgetedMs: spill.unbudgeted ?? 0 } };
}

function buildTls(tls: NonNullable<ExtensionFile["listen"]["tls"]>, root: MapNode, base: Path, context: LoadContext): GatewayConfig["listen"]["tls"] {
  const keys = { cert: "cert_file", key: "key_file", clientCa: "client_ca_file" } as const;
  const read = (key: (typeof keys)[keyof typeof keys]): { readonly path: string; readonly text: string | undefined } | undefined => {
    const name = tls[key];
    return name === undefined ? undefined : readBesideFile(name, root, [...base, key], context);
  };
  const cert = read("cert_file");
  const key = read("key_file");
  const clientCa = read("client_ca_file");
  if (cert?.text !== undefined && key?.text !== undefined && (clientCa === undefined || clientCa.text !== undefined)) {
    for (const { file, message } of tlsFaults({ cert: cert.text, key: key.text, clientCa: clientCa?.text })) {
      const path = [...base, keys[file]];
      context.report.fail(placeAt(root, path), path, `this file ${message}`);
    }
  }
  return { certFile: cert?.path ?? "", keyFile: key?.path ?? "", clientCaFile: clientCa?.path };
}

function buildEgress(egress: ExtensionFile["egress"], root: MapNode, base: Path, context: LoadContext): EgressConfig {
  const { env, report } = context;
  const path = [...base, "egress", "proxy"];
  const caFile = egress.ca_file === undefined ? undefined : readAuthorities(egress.ca_file, root, [...base, "egress", "ca_file"], context);
  const noProxy = egress.no_proxy ?? noProxyFromEnvironment(env);
  // An empty value switches the environment's proxy off; an absent one does not.
  const written = nodeAt(root, path);
  if (egress.proxy === "" || (written?.kind === "scalar" && written.value === "")) return { proxy: undefined, noProxy, caFile };
  if (egress.proxy !== undefined) {
    const reading = readProxy(egress.proxy);
    if ("proxy" in reading) return { proxy: reading.proxy, noProxy, caFile };
    report.fail(placeAt(root, path), path, reading.fault);
    return { proxy: undefined, noProxy, caFile };
  }
  const found = proxyFromEnvironment(env);
  if (found === undefined) return { proxy: undefined, noProxy, caFile };
  if ("proxy" in found.reading) return { proxy: found.reading.proxy, noProxy: egress.no_proxy ?? found.noProxy, caFile };
  report.fail({ file: context.path, line: 0, column: 0 }, path, `the environment variable ${found.variable} ${found.reading.fault}`);
  return { proxy: undefined, noProxy, caFile };
}

/** The file's full path. Without a certificate in it every upstream would be refused, and nobody would know why. */
function readAuthorities(name: string, root: MapNode, path: Path, context: LoadContext): string {
  const { path: full, text } = readBesideFile(name, root, path, context);
  const fault = text === undefined ? undefined : authoritiesFault(text);
  if (fault !== undefined) context.report.fail(placeAt(root, path), path, `this file ${fault}`);
  return full;
}

/** A path written in a file, relative to the folder of that file. */
export function besideFile(file: string, path: string): string {
  return resolve(dirname(file), path);
}

/** The file's full path, and its text unless it cannot be read, which is reported. */
function readBesideFile(name: string, root: MapNode, path: Path, context: LoadContext): { readonly path: string; readonly text: string | undefined } {
  const full = besideFile(context.path, name);
  try {
    return { path: full, text: context.readFile(full) };
  } catch (error) {
    context.report.fail(placeAt(root, path), path, `this file cannot be read (${codeOf(error)})`);
    return { path: full, text: undefined };
  }
}
