/** Idempotency keys, unique for each command. */

/**
 * `crypto.randomUUID` is missing on plain-HTTP pages of a local network; this works there too.
 *
 * @returns {string}
 */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
