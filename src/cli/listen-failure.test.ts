// Guarantee: whoever cannot listen reads one sentence with host, port and what to do; other failures are left alone.
import { describe, expect, it } from "vitest";
import { listenFailure } from "./listen-failure.ts";

describe("listenFailure", () => {
  it.each([
    ["listen EADDRINUSE: address already in use 127.0.0.1:4000", "Another program listens on 127.0.0.1:4000 already: stop it, or choose another port with --port."],
    ["listen EADDRINUSE: address already in use :::4000", "Another program listens on [::]:4000 already: stop it, or choose another port with --port."],
    ["metrics: listen EADDRINUSE: address already in use 127.0.0.1:9090", "Another program listens on 127.0.0.1:9090 already: stop it, or choose another port with `metrics.port`."],
    ["listen EACCES: permission denied 0.0.0.0:443", "This user may not listen on 0.0.0.0:443: choose a port above 1023 with --port."],
    ["listen EADDRNOTAVAIL: address not available 192.0.2.1:4000", "Nothing can listen on 192.0.2.1:4000, because 192.0.2.1 is no address of this machine: give another with --host or `listen.host`."],
    ["getaddrinfo ENOTFOUND nowhere.invalid", "The address to listen on, nowhere.invalid, cannot be found: give one of this machine with --host or `listen.host`."],
    ["listen EINVAL: invalid argument fe80::1:4000", "The gateway cannot listen on [fe80::1]:4000 (EINVAL): try another port with --port, or another address with --host or `listen.host`."],
  ])("%j", (message, sentence) => {
    const failure = listenFailure(new Error(message));
    expect(failure).toMatchObject({ message: sentence, mend: "", exitCode: 1 });
  });

  it("leaves other failures alone", () => {
    expect(listenFailure(new Error("the data folder is in use by another gateway"))).toBeUndefined();
  });
});
