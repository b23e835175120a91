/** Instants: RFC 3339 text on the wire, milliseconds of Unix time in this library. */

/**
 * @param {string|null|undefined} text
 * @returns {number|null}
 */
export function msOf(text) {
  return text ? Date.parse(text) : null;
}

/**
 * @param {number} ms
 * @returns {string}
 */
export function textOf(ms) {
  return new Date(Math.round(ms)).toISOString();
}
