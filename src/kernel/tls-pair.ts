/**
 * Whether the texts of certificate files can serve, with words for each fault. In here because two rooms ask: the
 * configuration before a start, and the listener whenever a file has changed.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { createSecureContext } from "node:tls";

/** Contents of the files of `listen.tls`, PEM. */
export interface TlsTexts {
  readonly cert: string;
  readonly key: string;
  /** Authorities of client certificates; undefined when clients need none. */
  readonly clientCa: string | undefined;
}

/** A fault and the file it is in. The message holds nothing of the file. */
export interface TlsFault {
  readonly file: keyof TlsTexts;
  readonly message: string;
}

/** All faults of a set of files; empty when it can serve. Half-written files are faults too. */
export function tlsFaults({ cert, key, clientCa }: TlsTexts): readonly TlsFault[] {
  const faults: TlsFault[] = [];
  const certificates = certificatesIn(cert);
  if (certificates === undefined) faults.push({ file: "cert", message: "holds no certificate chain in PEM, or a part of one cannot be read" });
  const privateKey = privateKeyIn(key);
  if (typeof privateKey === "string") faults.push({ file: "key", message: privateKey });
  // OpenSSL takes a file without certificates for an empty list of authorities, and would then refuse every client.
  const authorities = clientCa === undefined ? undefined : authoritiesFault(clientCa);
  if (authorities !== undefined) faults.push({ file: "clientCa", message: authorities });
  if (certificates === undefined || typeof privateKey === "string") return faults;
  if (!certificates[0]!.checkPrivateKey(privateKey)) faults.push({ file: "key", message: "is not the key of the certificate" });
  else if (faults.length === 0) faults.push(...contextFaults({ cert, key, clientCa }));
  return faults;
}

/** Why a file cannot name authorities; undefined when it can. OpenSSL would pass over what it cannot read in silence. */
export function authoritiesFault(text: string): string | undefined {
  return certificatesIn(text) === undefined ? "holds no certificates in PEM, or a part of one cannot be read" : undefined;
}

const begin = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/g;
const whole = /-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----[^-]+-----END \1-----/g;

/** Every certificate of a file; undefined when there is none or one is broken. */
function certificatesIn(text: string): readonly X509Certificate[] | undefined {
  const blocks = [...text.matchAll(whole)].map(([block]) => block);
  if (blocks.length === 0 || blocks.length !== (text.match(begin)?.length ?? 0)) return undefined;
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return undefined;
  }
}

/** The key, or why there is none. */
function privateKeyIn(text: string): KeyObject | string {
  if (/ENCRYPTED/.test(text)) return "is protected by a passphrase, and there is nobody to ask; write it without one, readable by this user only";
  try {
    return createPrivateKey(text);
  } catch {
    return "holds no private key in PEM that can be read";
  }
}

/** What OpenSSL itself dislikes about files that can be read, for instance a key that is too short. */
function contextFaults({ cert, key, clientCa }: TlsTexts): readonly TlsFault[] {
  try {
    createSecureContext({ cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }) });
    return [];
  } catch (error) {
    const reason = error instanceof Error && "reason" in error && typeof error.reason === "string" ? ` (${error.reason})` : "";
    return [{ file: "cert", message: `cannot be used for TLS${reason}` }];
  }
}
