/**
 * Which resolved addresses a configured host name may lead to. The operator names hosts; what their DNS answers is not the
 * operator's word, so a name that resolves to this machine or to a link-local metadata service is refused. An address
 * written literally in the configuration, and `localhost`, are the operator's word.
 */
import { BlockList, isIP } from "node:net";

const refused = new BlockList();
refused.addSubnet("0.0.0.0", 8, "ipv4");
refused.addSubnet("127.0.0.0", 8, "ipv4");
refused.addSubnet("169.254.0.0", 16, "ipv4");
refused.addSubnet("224.0.0.0", 3, "ipv4");
refused.addAddress("::", "ipv6");
refused.addAddress("::1", "ipv6");
refused.addSubnet("fe80::", 10, "ipv6");
refused.addSubnet("ff00::", 8, "ipv6");

/**
 * @param host as configured, without port and brackets
 * @param address what it resolved to
 */
export function mayConnect(host: string, address: string): boolean {
  if (host === "localhost" || isIP(host) !== 0) return true;
  const family = isIP(address);
  if (family === 0) return false;
  // BlockList judges IPv4-mapped IPv6 addresses by their IPv4 part.
  return !refused.check(address, family === 6 ? "ipv6" : "ipv4");
}
