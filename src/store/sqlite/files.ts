/** Files and folders of the store, readable by their owner only. SQLite gives its side files the mode of the main one. */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/** Makes an empty file with mode 0600, or sets the mode of the one there is without opening it. */
export function createPrivateFile(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  chmodSync(path, 0o600);
}

/**
 * Makes the folder (0700) if there is none, and resolves links, so that two names of one store are one path.
 *
 * @returns the absolute path of the store's file, which need not exist
 */
export function preparePath(path: string): string {
  const absolute = resolve(path);
  mkdirSync(dirname(absolute), { recursive: true, mode: 0o700 });
  return existsSync(absolute) ? realpathSync(absolute) : join(realpathSync(dirname(absolute)), basename(absolute));
}
