// Guarantee: a caller cannot choose the address it is recorded under. What `x-forwarded-for` says counts only as far as trusted
// proxies vouch for it, from the socket outwards.
import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { sourceAddress } from "./client-address.ts";

function addressOf(peer: string | undefined, forwarded: string | undefined, trusted: readonly string[]): string {
  return sourceAddress({ socket: { remoteAddress: peer }, headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded } } as unknown as IncomingMessage, trusted);
}

describe("sourceAddress", () => {
  it.each<[string, string | undefined, string | undefined, readonly string[], string]>([
    ["nobody is trusted", "10.0.0.1", "203.0.113.9", [], "10.0.0.1"],
    ["the peer is not trusted", "192.0.2.1", "203.0.113.9", ["10.0.0.0/8"], "192.0.2.1"],
    ["a trusted proxy names the client", "10.0.0.1", "203.0.113.9", ["10.0.0.0/8"], "203.0.113.9"],
    ["a trusted proxy names nobody", "10.0.0.1", undefined, ["10.0.0.0/8"], "10.0.0.1"],
    ["a trusted proxy names an empty list", "10.0.0.1", "", ["10.0.0.0/8"], "10.0.0.1"],
    ["the client wrote an entry of its own in front", "10.0.0.1", "198.51.100.66, 203.0.113.9", ["10.0.0.0/8"], "203.0.113.9"],
    ["two trusted proxies stand in a row", "10.0.0.1", "198.51.100.66, 203.0.113.9, 10.0.0.2", ["10.0.0.0/8"], "203.0.113.9"],
    ["all are trusted", "10.0.0.1", "10.0.0.3, 10.0.0.2", ["10.0.0.0/8"], "10.0.0.3"],
    ["the entry is no address", "10.0.0.1", "203.0.113.9, unknown", ["10.0.0.0/8"], "10.0.0.1"],
    ["a trusted proxy is given as one address", "192.0.2.7", "203.0.113.9", ["192.0.2.7"], "203.0.113.9"],
    ["the peer is IPv4 in IPv6's clothes", "::ffff:10.0.0.1", "203.0.113.9", ["10.0.0.0/8"], "203.0.113.9"],
    ["proxy and client speak IPv6", "fd00::1", "2001:db8::9", ["fd00::/8"], "2001:db8::9"],
    ["the socket is gone already", undefined, "203.0.113.9", ["10.0.0.0/8"], ""],
  ])("when %s", (_what, peer, forwarded, trusted, address) => {
    expect(addressOf(peer, forwarded, trusted)).toBe(address);
  });
});
