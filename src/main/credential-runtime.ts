/** The world as logins with clouds see it: files, environment, and requests through the dialer's login door. */
import { exec } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import type { CredentialRuntime, LoginReply, LoginRequest } from "../credentials/runtime.ts";
import type { Dialer } from "../egress/dialer.ts";
import type { UpstreamReply } from "../egress/reply.ts";
import { Cancellation } from "../kernel/cancellation.ts";
import type { Clock } from "../kernel/clock.ts";
import { GatewayError } from "../kernel/gateway-error.ts";

const replyBytesMax = 1024 * 1024;

export function createCredentialRuntime(clock: Clock, env: Readonly<Record<string, string | undefined>>, dialer: Pick<Dialer, "login">): CredentialRuntime {
  return {
    clock,
    env,
    homeFolder: homedir(),
    readFile: (path) => readFile(path, "utf8"),
    modifiedAtMs: (path) => stat(path).then(({ mtimeMs }) => mtimeMs, () => undefined),
    request: (request) => exchange(clock, dialer, request),
    run: (command) => run(command, env),
  };
}

const programMs = 60_000;

/** For `credential_process` of AWS's shared files, which only a provider with `allow_credential_process` asks for. */
function run(command: string, env: Readonly<Record<string, string | undefined>>): Promise<string> {
  return new Promise((resolve, reject) => {
    // Its output holds secrets, so none of it is in the fault.
    exec(command, { env: { ...env }, timeout: programMs, maxBuffer: replyBytesMax, windowsHide: true }, (fault, stdout) => {
      if (fault === null) resolve(stdout);
      else reject(new Error(`the program ended with ${fault.killed === true ? "a time-out" : `code ${fault.code ?? "unknown"}`}`));
    });
  });
}

async function exchange(clock: Clock, dialer: Pick<Dialer, "login">, request: LoginRequest): Promise<LoginReply> {
  const { timeoutMs, ...wire } = request;
  const ending = new Cancellation();
  const timer = clock.after(timeoutMs, () => ending.cancel(new GatewayError("upstream_slow", { internal: "a login took too long" })));
  try {
    const reply = await dialer.login({ ...wire, timeouts: { firstByteMs: timeoutMs, idleMs: timeoutMs } }, ending);
    return { status: reply.status, headers: reply.headers, body: await whole(reply) };
  } finally {
    timer.cancel();
  }
}

function whole(reply: UpstreamReply): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytesRead = 0;
  return new Promise((resolve, reject) => {
    reply.consume({
      data(bytes) {
        bytesRead += bytes.length;
        pieces.push(bytes);
        if (bytesRead <= replyBytesMax) return;
        reply.abort();
        reject(new Error("a login service answered with more than 1 MiB"));
      },
      end: () => resolve(Buffer.concat(pieces)),
      fail: reject,
    });
  });
}
