/**
 * The keys of a first start: an admin key and one developer key. A marker in the data folder stands from before they are made until
 * they have been shown, so that a crash or a taken port in between costs nobody a key: the next start goes on where this one ended.
 */
import type { AuditRecord } from "../audit/record.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { KeyIndex } from "../identity/key-index.ts";
import { hashKey, mintKey, showOnce } from "../identity/virtual-key.ts";
import type { Clock } from "../kernel/clock.ts";
import { newId } from "../kernel/ids.ts";
import type { Secret } from "../kernel/secret.ts";
import type { KeyService } from "./keys.ts";

type FirstKey = "admin-key" | "developer-key";

/** Where first keys are kept. */
export interface FirstKeyFiles {
  /** @returns undefined when there is none */
  read(name: FirstKey): Secret | undefined;
  /** The old file or the new one is left by a crash. */
  write(name: FirstKey, key: Secret): void;
  /** Keys that a start has made, or is about to make, and that none has shown. */
  unshown(): ReadonlySet<string>;
  /** To be called before the key is made. */
  markUnshown(name: FirstKey): void;
  /** All have been shown. */
  unmarkUnshown(): void;
}

/** What a start has to say about keys. */
export interface FirstStart {
  /** Made by this start, or by one that ended before it could show it. */
  readonly adminKey: Secret | undefined;
  readonly developerKey: Secret | undefined;
  /**
   * What the file of the first developer key is worth: `stale` when the store does not know its key (revoked, rotated away, or the
   * store was replaced), `none` when there is no such file.
   */
  readonly developerKeyFile: "valid" | "stale" | "none";
  /** The data folder holds an admin key, but the configuration names another. */
  readonly isAdminKeyFileStale: boolean;
  /** To be called once the keys have been shown; until then each start shows them. */
  shown(): void;
}

/** What the keys are made in. `index` must hold what the store holds. */
export interface FirstKeysOptions {
  readonly files: FirstKeyFiles;
  readonly admin: GatewayConfig["admin"];
  readonly appendAudit: (records: readonly AuditRecord[]) => Promise<void>;
  readonly index: KeyIndex;
  readonly keyService: KeyService;
  readonly clock: Clock;
}

/**
 * The admin key of the configuration, of the data folder, or a new one; and one developer key for a store without any.
 *
 * @throws when a key file or the store cannot be written
 */
export async function firstKeys(options: FirstKeysOptions): Promise<FirstStart> {
  const { files, admin } = options;
  const inFile = files.read("admin-key");
  const adminKey = await firstAdminKey(options, inFile);
  const developerKey = await firstDeveloperKey(options);
  const developerFile = files.read("developer-key");
  return {
    adminKey,
    developerKey,
    developerKeyFile: developerFile === undefined ? "none" : options.index.find(hashKey(developerFile), options.clock.now()) === undefined ? "stale" : "valid",
    isAdminKeyFileStale: admin.key !== undefined && inFile !== undefined && hashKey(inFile) !== hashKey(admin.key),
    shown: () => files.unmarkUnshown(),
  };
}

async function firstAdminKey({ files, admin, appendAudit, index, clock }: FirstKeysOptions, inFile: Secret | undefined): Promise<Secret | undefined> {
  const kept = admin.key ?? inFile;
  const key = kept ?? mintKey();
  if (kept === undefined) {
    files.markUnshown("admin-key");
    files.write("admin-key", key);
    await appendAudit([{ id: newId("aud", clock.now()), atMs: clock.now(), action: "admin_key.create", actor: "gateway", object: "admin", details: {}, sourceAddress: "" }]);
  }
  index.setAdmin(hashKey(key), admin.mayInfer);
  return admin.key === undefined && files.unshown().has("admin-key") ? key : undefined;
}

async function firstDeveloperKey({ files, index, keyService }: FirstKeysOptions): Promise<Secret | undefined> {
  const inFile = files.read("developer-key");
  const isUnshown = files.unshown().has("developer-key");
  // The file marks that there was a first key; a store whose keys are all revoked gets no new one.
  if (inFile === undefined ? index.size() > 0 : !isUnshown) return undefined;
  const key = inFile ?? mintKey();
  if (inFile === undefined) {
    files.markUnshown("developer-key");
    files.write("developer-key", key);
  }
  // The file comes first: a key that only the store had would be lost, since the store has no more than its hash.
  if (!index.has(hashKey(key))) await keyService.create({ alias: "first-developer", chosen: showOnce(key) }, { actor: "gateway", sourceAddress: "" });
  return key;
}
