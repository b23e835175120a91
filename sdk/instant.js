/** Instants: RFC 3339 text on the wire, milliseconds since Unix time in here. */

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
