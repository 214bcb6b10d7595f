/** The dialer with the destinations of the configuration in force, and for as long as their calls may run those of earlier ones. */
import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { createDialer, type Dialer, type DialerNetwork } from "../egress/dialer.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Place, Snapshot } from "../pipeline/snapshot.ts";

export interface Egress {
  readonly dialer: Dialer;
  /** Opens the destinations of a snapshot. @param network of its configuration */
  follow(snapshot: Snapshot, network: DialerNetwork): void;
}

/** @throws Error when a file of certificates cannot be read */
export function networkOf({ egress, timeouts }: GatewayConfig): DialerNetwork {
  return {
    connectMs: timeouts.connectMs,
    proxy: egress.proxy,
    noProxy: egress.noProxy,
    certificates: egress.caFile === undefined ? undefined : [...getCACertificates("default"), ...getCACertificates("extra"), readFileSync(egress.caFile, "utf8")],
  };
}

/** Until a snapshot is followed, logins are all that goes out. */
export function createEgress(network: DialerNetwork, clock: Clock): Egress {
  let current: Snapshot | undefined;
  /** Calls that began under an earlier configuration may still fail over to its places. */
  let gone: readonly { readonly place: Place; readonly untilAt: number }[] = [];
  const isConfigured = (origin: string): boolean => {
    if (current === undefined) return false;
    const { webhook } = current.config;
    if (webhook !== undefined && new URL(webhook.url).origin === origin) return true;
    const now = clock.monotonic();
    gone = gone.filter(({ untilAt }) => untilAt > now);
    return [...current.places.values(), ...gone.map(({ place }) => place)].some((place) => isOf(place, origin));
  };
  const dialer = createDialer({ isConfigured, ...network });
  return {
    dialer,
    follow(snapshot, changed) {
      const kept = new Set(snapshot.places.values());
      const untilAt = clock.monotonic() + (current?.config.timeouts.totalMs ?? 0);
      const left = [...(current?.places.values() ?? [])].filter((place) => !kept.has(place));
      gone = [...gone, ...left.map((place) => ({ place, untilAt }))];
      current = snapshot;
      dialer.configure(changed);
    },
  };
}

function isOf({ provider, settings, destination }: Place, origin: string): boolean {
  return destination.origin === origin || provider.isOwnOrigin?.(origin, settings) === true;
}
