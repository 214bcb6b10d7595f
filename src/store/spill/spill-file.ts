/**
 * The spill file itself: appended to by one writer, each append on the disk before it resolves, emptied when the store has all of
 * it. It knows nothing of what its lines mean.
 */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";

export interface SpillFile {
  /** Appends of one turn share one write and one sync. On the disk when it resolves; rejects with the system's error, and none of it counts. */
  append(line: string): Promise<void>;
  /** Takes out everything appended so far; appends that still wait for the disk resolve, since the store has them. Never rejects: what stays is replayed again, which changes nothing. */
  empty(): Promise<void>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

interface Waiting {
  readonly line: string;
  readonly resolve: () => void;
  readonly reject: (fault: unknown) => void;
}

/**
 * Makes the file, 0600, if there is none.
 *
 * @throws the system's error when it cannot be opened for writing
 */
export async function openSpillFile(path: string): Promise<SpillFile> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const { size } = await handle.stat();
    // Otherwise the name of a new file could be gone after a power failure, and its lines with it.
    await syncFolder(dirname(path));
    return new Appender(handle, size);
  } catch (fault) {
    await handle.close();
    throw fault;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

class Appender implements SpillFile {
  readonly #handle: FileHandle;
  /** Bytes that count; a failed write may have left more behind, which the next one overwrites. */
  #bytes: number;
  /** Appends that the next write takes along. */
  #batch: Waiting[] | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(handle: FileHandle, bytes: number) {
    this.#handle = handle;
    this.#bytes = bytes;
  }

  append(line: string): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#batch === undefined) {
        const batch: Waiting[] = (this.#batch = []);
        this.#work = this.#work.then(() => this.#write(batch));
      }
      this.#batch.push({ line, resolve, reject });
    });
  }

  empty(): Promise<void> {
    for (const { resolve } of this.#batch?.splice(0) ?? []) resolve();
    // What comes from now on must be written behind the emptying.
    this.#batch = undefined;
    return (this.#work = this.#work.then(() => this.#truncate(0)));
  }

  async close(): Promise<void> {
    await this.#work;
    await this.#handle.close();
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    if (this.#batch === batch) this.#batch = undefined;
    if (batch.length === 0) return;
    const bytes = Buffer.from(batch.map(({ line }) => line).join(""));
    try {
      for (let written = 0; written < bytes.length; ) written += (await this.#handle.write(bytes, written, bytes.length - written, this.#bytes + written)).bytesWritten;
      await this.#handle.datasync();
      this.#bytes += bytes.length;
      for (const { resolve } of batch) resolve();
    } catch (fault) {
      await this.#truncate(this.#bytes);
      for (const { reject } of batch) reject(fault);
    }
  }

  async #truncate(bytes: number): Promise<void> {
    try {
      await this.#handle.truncate(bytes);
      await this.#handle.datasync();
      this.#bytes = bytes;
    } catch {
      // A device, or a disk that is gone: lines that stay are replayed again, and lines that were not confirmed opened nothing that was sent.
    }
  }
}
