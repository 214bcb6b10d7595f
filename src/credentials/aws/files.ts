/**
 * Files as a login sees them. Which ones it read, or looked for in vain, is remembered with their times of change, so that a
 * changed, new or removed file leads to a new login. A login that failed is not remembered: its change stays to be picked up.
 */
import { CredentialError, type CredentialRuntime } from "../runtime.ts";
import { codeOf } from "./login.ts";

/** A file's text with the time of change that was seen before it was read. */
export interface LoginFile {
  readonly text: string;
  readonly modifiedAtMs: number | undefined;
}

/** The files of one login. */
export interface LoginFiles {
  /**
   * @param path as configured; `~/` stands for the home folder
   * @returns undefined when there is no such file
   * @throws CredentialError when it is there and cannot be read
   */
  read(path: string): Promise<LoginFile | undefined>;
  /** Called when the login succeeded: from now on its files are the ones watched. */
  keep(): void;
}

export interface FileWatch {
  open(): LoginFiles;
  /** Whether a file of the last good login has changed. Looks at most once a second, and says no in between. */
  hasChanged(): Promise<boolean>;
}

const lookPauseMs = 1_000;

export function createFileWatch(runtime: CredentialRuntime): FileWatch {
  let known: ReadonlyMap<string, number | undefined> = new Map();
  let lookedAt = Number.NEGATIVE_INFINITY;
  return {
    open() {
      const seen = new Map<string, number | undefined>();
      return {
        async read(path) {
          const full = path.startsWith("~/") ? `${runtime.homeFolder}/${path.slice(2)}` : path;
          const modifiedAtMs = await runtime.modifiedAtMs(full);
          seen.set(full, modifiedAtMs);
          try {
            return { text: await runtime.readFile(full), modifiedAtMs };
          } catch (error) {
            const code = codeOf(error);
            if (code === " (ENOENT)" || code === " (ENOTDIR)") return undefined;
            throw new CredentialError(`${path} cannot be read${code}`, true);
          }
        },
        keep: () => void (known = seen),
      };
    },
    async hasChanged() {
      const now = runtime.clock.monotonic();
      if (known.size === 0 || now - lookedAt < lookPauseMs) return false;
      lookedAt = now;
      for (const [path, modifiedAtMs] of known) if ((await runtime.modifiedAtMs(path)) !== modifiedAtMs) return true;
      return false;
    },
  };
}
