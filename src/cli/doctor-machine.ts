/** The checks of `doctor` on this machine: runtime, data folder, ledger file, clock. */
import { constants, type Stats } from "node:fs";
import { access, open, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemCodeOf } from "./cli-error.ts";
import { adminKeyFileName, developerKeyFileName } from "./connection.ts";
import { fail, ok, skip, warn, type Finding } from "./doctor-finding.ts";

/** The oldest runtime; the same as `engines` in package.json. */
const nodeMajorMin = 24;
/** Below this a busy ledger may fill the disk within days. Own choice. */
const diskBytesMin = 512 * 1024 * 1024;
/** First bytes of every SQLite 3 file: https://www.sqlite.org/fileformat.html, section 1.3.1. */
const sqliteMagic = Buffer.from("SQLite format 3\0", "latin1");
/** Beyond this, times in the ledger mislead. Own choice. */
const skewWarnMs = 10_000;
/** Beyond this, signed requests to clouds and token lifetimes begin to fail; AWS allows five minutes. */
const skewFailMs = 300_000;

/** @param version as in `process.versions.node` */
export function checkNode(version: string): Finding {
  return Number(version.split(".")[0]) >= nodeMajorMin ? ok("node", `Node ${version}`) : fail("node", `Node ${version} is too old.`, `Install Node ${nodeMajorMin} or newer.`);
}

/**
 * The folder and what is in it.
 *
 * @param databasePath the ledger's file, absolute
 * @param isGatewayReady a running gateway has just said that its store works
 */
export async function checkStore(dataDir: string, databasePath: string, isGatewayReady: boolean): Promise<readonly Finding[]> {
  const folder = await checkFolder(dataDir);
  if (folder.level !== "ok") return [folder];
  return [folder, await checkDisk(dataDir), await checkDatabase(databasePath, isGatewayReady), ...(await checkKeyFiles(dataDir))];
}

async function checkFolder(dataDir: string): Promise<Finding> {
  const info = await statOrUndefined(dataDir);
  if (info === undefined) {
    const isPossible = await mayWrite(dirname(dataDir));
    return isPossible
      ? skip("data folder", `${dataDir} does not exist yet; the first start makes it.`)
      : fail("data folder", `${dataDir} does not exist, and this user cannot make it.`, "Name another with --data-dir, or make it and give it to the gateway's user.");
  }
  if (!info.isDirectory()) return fail("data folder", `${dataDir} is not a folder.`, "Name another with --data-dir.");
  if (!(await mayWrite(dataDir))) return fail("data folder", `This user cannot write to ${dataDir}.`, "Run the command as the gateway's user, or give it the folder.");
  return ok("data folder", `${dataDir} can be written.`);
}

async function checkDisk(dataDir: string): Promise<Finding> {
  const disk = await statfs(dataDir);
  const freeBytes = disk.bavail * disk.bsize;
  const freeText = `${Math.floor(freeBytes / (1024 * 1024))} MiB are free.`;
  return freeBytes < diskBytesMin ? warn("disk", `Only ${freeText}`, "Make room: a gateway that cannot write its ledger takes no work.") : ok("disk", freeText);
}

/** The file's first bytes only: a second opener of a live ledger could disturb it. */
async function checkDatabase(path: string, isGatewayReady: boolean): Promise<Finding> {
  if (isGatewayReady) return ok("ledger", "The running gateway reads and writes it.");
  if ((await statOrUndefined(path)) === undefined) return skip("ledger", `${path} does not exist yet; the first start makes it.`);
  try {
    const file = await open(path, "r+");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(sqliteMagic.length), 0, sqliteMagic.length, 0);
      if (bytesRead > 0 && !buffer.equals(sqliteMagic)) return fail("ledger", `${path} is not a SQLite file.`, "Move it away, or put a backup in its place.");
    } finally {
      await file.close();
    }
  } catch (error) {
    return fail("ledger", `${path} cannot be opened for writing (${systemCodeOf(error) ?? "unknown reason"}).`, "Run the command as the gateway's user, or give it the file.");
  }
  return ok("ledger", `${path} can be opened.`);
}

async function checkKeyFiles(dataDir: string): Promise<readonly Finding[]> {
  // Windows has no such mode bits.
  if (process.platform === "win32") return [];
  const findings: Finding[] = [];
  for (const name of [adminKeyFileName, developerKeyFileName]) {
    const path = join(dataDir, name);
    const info = await statOrUndefined(path);
    if (info !== undefined && (info.mode & 0o077) !== 0) findings.push(warn("key files", `Others on this machine can read ${path}.`, `Run \`chmod 600 ${path}\`.`));
  }
  return findings;
}

/**
 * This machine's clock against another's.
 *
 * @param date the other's `date` header, whole seconds; undefined when there was none
 * @param source whose it is, for the message
 */
export function checkClock(date: string | undefined, source: string, nowMs: number): Finding {
  const otherMs = Date.parse(date ?? "");
  if (Number.isNaN(otherMs)) return skip("clock", "Nothing answered with a time to compare with.");
  const skewMs = nowMs - otherMs;
  const text = `This machine's clock is ${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs < 0 ? "behind" : "ahead of"} that of ${source}.`;
  const mend = "Turn on time synchronisation (NTP).";
  if (Math.abs(skewMs) > skewFailMs) return fail("clock", text, mend);
  if (Math.abs(skewMs) > skewWarnMs) return warn("clock", text, mend);
  return ok("clock", `It agrees with ${source}.`);
}

async function statOrUndefined(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch {
    return undefined;
  }
}

async function mayWrite(path: string): Promise<boolean> {
  try {
    await access(path, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
