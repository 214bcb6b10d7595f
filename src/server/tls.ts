/**
 * The listener's certificate: read at the start, looked for again when its files change. Connections keep what they were
 * opened with; a set of files that does not fit together changes nothing.
 */
import { readFileSync, watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";
import type { TlsOptions } from "node:tls";
import type { ListenConfig } from "../config/gateway-config.ts";
import type { Clock, Timer } from "../kernel/clock.ts";
import { tlsFaults, type TlsTexts } from "../kernel/tls-pair.ts";

/** The files of `listen.tls`. */
export type TlsFiles = NonNullable<ListenConfig["tls"]>;

/** What became of changed files. `fault` is undefined when they serve from now on, else names what is wrong; told once. */
export type OnTlsReload = (fault: string | undefined) => void;

/** Certificate and key are replaced one after the other; so long nothing may change before they are looked at. */
const settleMs = 250;
/** Folders on some file systems tell nothing of changes, so the files are compared now and then in any case. */
const comparePeriodMs = 60_000;

/** @throws Error when a file cannot be read or the files do not fit together */
export function readTls(files: TlsFiles): TlsTexts {
  const texts = {
    cert: readFileSync(files.certFile, "utf8"),
    key: readFileSync(files.keyFile, "utf8"),
    clientCa: files.clientCaFile === undefined ? undefined : readFileSync(files.clientCaFile, "utf8"),
  };
  const fault = faultOf(files, texts);
  if (fault !== undefined) throw new Error(fault);
  return texts;
}

/** For the HTTPS server, and again for each change. */
export function tlsOptions({ cert, key, clientCa }: TlsTexts): TlsOptions {
  const base = { cert, key, minVersion: "TLSv1.2" as const, handshakeTimeout: 15_000 };
  return clientCa === undefined ? base : { ...base, ca: clientCa, requestCert: true, rejectUnauthorized: true };
}

/**
 * Calls `use` with each new set of files that fits together.
 *
 * @param served what the server uses now
 */
export function watchTls(files: TlsFiles, served: TlsTexts, options: { readonly clock: Clock; readonly use: (texts: TlsTexts) => void; readonly onReload: OnTlsReload }): { close(): void } {
  const { clock, use, onReload } = options;
  let seen = JSON.stringify(served);
  const look = (): void => {
    const { texts, key } = readNow(files);
    if (key === seen) return;
    seen = key;
    const fault = texts === undefined ? key : faultOf(files, texts);
    if (fault !== undefined || texts === undefined) return onReload(fault);
    try {
      use(texts);
      onReload(undefined);
    } catch (error) {
      onReload(error instanceof Error ? error.message : String(error));
    }
  };
  let pending: Timer | undefined;
  const watchers = watchFolders(files, () => {
    pending?.cancel();
    pending = clock.after(settleMs, look);
  });
  const comparing = clock.every(comparePeriodMs, look);
  return {
    close() {
      pending?.cancel();
      comparing.cancel();
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** The files' contents, or why they cannot be read; `key` is the same as long as nothing has changed. */
function readNow(files: TlsFiles): { readonly texts: TlsTexts | undefined; readonly key: string } {
  let path = "";
  const read = (file: string): string => {
    path = file;
    return readFileSync(file, "utf8");
  };
  try {
    const texts = { cert: read(files.certFile), key: read(files.keyFile), clientCa: files.clientCaFile === undefined ? undefined : read(files.clientCaFile) };
    return { texts, key: JSON.stringify(texts) };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return { texts: undefined, key: `${path} cannot be read (${code})` };
  }
}

function faultOf(files: TlsFiles, texts: TlsTexts): string | undefined {
  const names = { cert: files.certFile, key: files.keyFile, clientCa: files.clientCaFile ?? "" };
  const faults = tlsFaults(texts).map(({ file, message }) => `${names[file]} ${message}`);
  return faults.length === 0 ? undefined : faults.join("; ");
}

/** Folders, not files, because certificates are replaced by rename. Where watching is refused, comparing has to do. */
function watchFolders({ certFile, keyFile, clientCaFile }: TlsFiles, onChange: () => void): readonly FSWatcher[] {
  const paths = [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])];
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
