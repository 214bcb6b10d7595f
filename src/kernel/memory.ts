/** Gives the memory of large buffers back without waiting for the collector. */

/** Below this the collector is cheaper. */
const releasedBytesMin = 16 * 1024;

/**
 * Empties a large buffer that nothing uses any more, native writes included; a small one, or one that shares its memory, is
 * left alone. Bodies lie outside the collector's heap and yet make it run full cycles: at 1 MB a body these were a third of
 * a request's cost (`node bench/profile.ts --case json-1m`).
 */
export function releaseMemory(bytes: Buffer): void {
  const { buffer } = bytes;
  if (bytes.length >= releasedBytesMin && buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) buffer.transfer(0);
}
