/** Where a request came from: the socket, or what a trusted proxy says. */
import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";

const lists = new WeakMap<readonly string[], BlockList>();

/**
 * @param trustedProxies addresses or CIDR blocks; only if the socket's peer is one of them is `x-forwarded-for` read, from
 *   the right, up to the first address that is not trusted
 */
export function sourceAddress(request: IncomingMessage, trustedProxies: readonly string[]): string {
  let address = plain(request.socket.remoteAddress ?? "");
  const forwarded = request.headers["x-forwarded-for"];
  if (trustedProxies.length === 0 || forwarded === undefined) return address;
  const trusted = listOf(trustedProxies);
  for (const hop of String(forwarded).split(",").reverse()) {
    if (!isTrusted(trusted, address)) break;
    const next = plain(hop.trim());
    if (isIP(next) === 0) break;
    address = next;
  }
  return address;
}

function plain(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

function isTrusted(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? "ipv6" : "ipv4");
}

function listOf(trustedProxies: readonly string[]): BlockList {
  let list = lists.get(trustedProxies);
  if (list === undefined) {
    list = new BlockList();
    for (const entry of trustedProxies) {
      const [network = "", prefix] = entry.split("/");
      const family = isIP(network) === 6 ? "ipv6" : "ipv4";
      if (prefix === undefined) list.addAddress(network, family);
      else list.addSubnet(network, Number(prefix), family);
    }
    lists.set(trustedProxies, list);
  }
  return list;
}
