/**
 * Tells when files may have changed. Folders are watched, not files, since editors and certificate tools replace files by rename, and
 * Kubernetes a whole folder by a link.
 */
import { realpathSync, watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";
import type { Clock, Timer } from "../kernel/clock.ts";

/** So long nothing may happen before anybody looks: files that belong together are written one after the other. */
const settleMs = 250;
/** Folders on some file systems tell nothing of changes, so somebody looks now and then in any case. */
const lookPeriodMs = 60_000;

export interface FileWatch {
  /** Watches these from now on, in the place of others. */
  follow(paths: readonly string[]): void;
  close(): void;
}

/** @param look called when something happened around the files, which may have been nothing, and once a minute */
export function watchFiles(clock: Clock, look: () => void): FileWatch {
  let watchers: readonly FSWatcher[] = [];
  let watched = "";
  let pending: Timer | undefined;
  const looking = clock.every(lookPeriodMs, look);
  const onChange = (): void => {
    pending?.cancel();
    pending = clock.after(settleMs, look);
  };
  const end = (): void => {
    for (const watcher of watchers) watcher.close();
  };
  return {
    follow(paths) {
      const all = [...new Set([...paths, ...paths.map(realPath)])].toSorted();
      const key = JSON.stringify(all);
      if (key === watched) return;
      watched = key;
      end();
      watchers = watchFolders(all, onChange);
    },
    close() {
      pending?.cancel();
      looking.cancel();
      end();
    },
  };
}

/** Where the links lead now; a folder behind one may be written to without a change of the link. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Where watching is refused, looking now and then has to do. */
function watchFolders(paths: readonly string[], onChange: () => void): readonly FSWatcher[] {
  const names = new Set(paths.map((path) => basename(path)));
  return [...new Set(paths.map((path) => dirname(path)))].flatMap((folder) => {
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        // Kubernetes swaps a whole folder by a link named `..data`.
        if (name === null || names.has(name) || name.startsWith("..")) onChange();
      });
      watcher.on("error", () => watcher.close());
      return [watcher];
    } catch {
      return [];
    }
  });
}
