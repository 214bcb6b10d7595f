/**
 * The three small secrets in the data directory: the admin key and the first developer key, so that the command line works
 * without setup, and the gateway's own secret, from which short-lived tokens are derived; and which of the keys nobody has seen yet.
 * All 0600.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Secret } from "../kernel/secret.ts";

export type KeyFile = "admin-key" | "developer-key" | "gateway-secret";

/** @returns undefined when there is none */
function readKeyFile(dataDir: string, name: KeyFile): Secret | undefined {
  const path = join(dataDir, name);
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, "utf8").trim();
  return text === "" ? undefined : new Secret(text);
}

/** Written beside and renamed, so that a crash leaves the old file or the new one. */
function writeKeyFile(dataDir: string, name: KeyFile, secret: Secret): void {
  const path = join(dataDir, name);
  writeFileSync(`${path}.new`, `${secret.reveal()}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Names the keys that were made and not shown yet, one a line. */
const unshownFile = "keys-to-show";

/** What a first start keeps in the data folder. */
export function keyFolder(dataDir: string): {
  read(name: KeyFile): Secret | undefined;
  write(name: KeyFile, key: Secret): void;
  unshown(): ReadonlySet<string>;
  markUnshown(name: KeyFile): void;
  unmarkUnshown(): void;
} {
  const path = join(dataDir, unshownFile);
  const unshown = (): ReadonlySet<string> => new Set(existsSync(path) ? readFileSync(path, "utf8").split("\n").filter((line) => line !== "") : []);
  return {
    read: (name) => readKeyFile(dataDir, name),
    write: (name, key) => writeKeyFile(dataDir, name, key),
    unshown,
    markUnshown(name) {
      writeFileSync(`${path}.new`, [...new Set([...unshown(), name])].join("\n"), { mode: 0o600 });
      renameSync(`${path}.new`, path);
    },
    unmarkUnshown: () => rmSync(path, { force: true }),
  };
}

/** The gateway's own secret, made on the first start: 32 random bytes. */
export function gatewaySecret(dataDir: string): Secret {
  const known = readKeyFile(dataDir, "gateway-secret");
  if (known !== undefined) return known;
  const made = new Secret(randomBytes(32).toString("base64url"));
  writeKeyFile(dataDir, "gateway-secret", made);
  return made;
}
