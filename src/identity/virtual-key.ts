/**
 * Virtual keys in the clear: how one is made, hashed and shown. Besides reading them from headers, this is the only place
 * that handles them; everything else knows a hash and the last four characters.
 */
import { hash, randomBytes } from "node:crypto";
import { GatewayError } from "../kernel/gateway-error.ts";
import { Secret } from "../kernel/secret.ts";

/** What every virtual key begins with, as LiteLLM's do. */
export const keyPrefix = "sk-";
/** Length of a key that an operator chose, prefix included, in characters. */
export const customKeyLengthMin = 24;
export const customKeyLengthMax = 256;
/** Different characters a chosen key needs: keeps out fillers such as `sk-xxxxxxxx…`. */
const distinctCharactersMin = 10;

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** 62^43 > 2^256. */
const digits256 = 43;

/**
 * 32 bytes in letters and digits only, so that a double click selects the whole key.
 *
 * @param bytes 32 of them
 * @returns 43 characters
 */
export function encodeAlphanumeric(bytes: Buffer): string {
  let rest = BigInt(`0x${bytes.toString("hex")}`);
  let text = "";
  for (let index = 0; index < digits256; index++) {
    text = alphabet[Number(rest % 62n)] + text;
    rest /= 62n;
  }
  return text;
}

/** A new key: `sk-` and 256 random bits. */
export function mintKey(): Secret {
  return new Secret(keyPrefix + encodeAlphanumeric(randomBytes(32)));
}

/**
 * A key that an operator chose, for instance one that is in use elsewhere already.
 *
 * @throws GatewayError `client_field_invalid` when it is not `sk-` and letters, digits, `-` or `_`, or is too short or too uniform
 */
export function acceptCustomKey(text: string): Secret {
  const isWellFormed = /^sk-[A-Za-z0-9_-]+$/.test(text) && text.length >= customKeyLengthMin && text.length <= customKeyLengthMax;
  if (!isWellFormed) {
    throw new GatewayError("client_field_invalid", {
      publicText: `key: a chosen key is sk- and letters, digits, - or _, ${customKeyLengthMin} to ${customKeyLengthMax} characters in all.`,
    });
  }
  if (new Set(text.slice(keyPrefix.length)).size < distinctCharactersMin) {
    throw new GatewayError("client_field_invalid", { publicText: `key: a chosen key needs ${distinctCharactersMin} different characters after sk-; leave the field out to get a random key.` });
  }
  return new Secret(text);
}

/**
 * SHA-256 of the whole key in lower-case hex, unsalted: LiteLLM's `token`. A key has the entropy of a password hash's
 * output, so a slow hash would add cost and nothing else.
 */
export function hashText(text: string): string {
  return hash("sha256", text, "hex");
}

/** {@link hashText} of a key. */
export function hashKey(key: Secret): string {
  return hashText(key.reveal());
}

/** `sk-...` and the last four characters: LiteLLM's `key_name`. */
export function displayName(key: Secret): string {
  return `${keyPrefix}...${key.reveal().slice(-4)}`;
}

/** The clear text for the one reply that shows it. Callers must neither keep nor log it. */
export function showOnce(key: Secret): string {
  return key.reveal();
}
