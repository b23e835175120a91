/**
 * Checks of arguments, before anything is sent: what makes no sense is a `TypeError` that names the field. The name of
 * a field tells what it takes, as everywhere in the API: `*_id`, `*_ms`, `*_version`.
 *
 * @typedef {object} Kind
 * @property {(value: any) => boolean} isFine
 * @property {string} wanted
 */

// A hundred years.
const MAX_SPAN_MS = 3_162_240_000_000;

/** @param {any} value @param {number} min @param {number} [max] */
const isWhole = (value, min, max = MAX_SPAN_MS) => Number.isInteger(value) && value >= min && value <= max;

/** @type {Kind} */
export const ID = {
  isFine: (value) => /^[A-Za-z0-9][\w.:-]{0,127}$/.test(typeof value === 'string' ? value : ''),
  wanted: 'an id: 1 to 128 of A-Z a-z 0-9 _ . : -, beginning with a letter or a digit',
};
/** @type {Kind} */
export const FUNCTION = { isFine: (value) => typeof value === 'function', wanted: 'a function' };
/** @type {Kind} */
export const OBJECT = { isFine: (value) => typeof value === 'object' && value !== null && !Array.isArray(value), wanted: 'an object' };
/** @type {Kind} */
export const FLAG = { isFine: (value) => typeof value === 'boolean', wanted: 'true or false' };
/** @type {Kind} */
export const POSITIVE = { isFine: (value) => isWhole(value, 1), wanted: 'a whole number above 0' };
/** @type {Kind} */
export const COUNT = { isFine: (value) => isWhole(value, 0), wanted: 'a whole number from 0' };
/** @type {Kind} */
export const SPAN = { ...COUNT, wanted: 'whole milliseconds, at most a hundred years' };
/** @type {Kind} */
export const CHANGE = { isFine: (value) => isWhole(value, -MAX_SPAN_MS), wanted: 'whole milliseconds' };
/** @type {Kind} */
export const INSTANT = {
  isFine: (value) => Number.isFinite(typeof value === 'string' ? Date.parse(value) : Number(value)),
  wanted: 'an RFC 3339 instant, or milliseconds since 1970',
};
/** @type {Kind} */
export const REASON = {
  isFine: (value) => typeof value === 'string' && isWhole(new TextEncoder().encode(value).length, 1, 64),
  wanted: 'a text of 1 to 64 bytes',
};

/**
 * @param {readonly string[]} values
 * @returns {Kind}
 */
export function oneOf(values) {
  return { isFine: (value) => values.includes(value), wanted: `one of ${values.join(', ')}` };
}

/**
 * @param {unknown} value
 * @param {string} name
 * @param {Kind} kind
 */
export function check(value, name, { isFine, wanted }) {
  if (!isFine(value)) throw new TypeError(`${name} must be ${wanted}, not ${shown(value)}`);
}

/**
 * That an object has only fields of `known`, each of its kind. One that is null or undefined counts as absent.
 *
 * @param {any} value
 * @param {string} name
 * @param {string} known Their names.
 * @param {(field: string) => Kind|undefined} kindOf
 * @returns {string[]} The fields that are there.
 */
export function checkFields(value, name, known, kindOf) {
  check(value, name, OBJECT);
  const there = Object.keys(value).filter((field) => (value[field] ?? null) !== null);
  for (const field of there) {
    if (!known.split(' ').includes(field)) throw new TypeError(`${name}.${field} is not known; the fields are ${known}`);
    const kind = kindOf(field);
    if (kind) check(value[field], `${name}.${field}`, kind);
  }
  return there;
}

/** @param {unknown} value */
function shown(value) {
  return typeof value === 'object' && value !== null ? 'that' : String(value).slice(0, 60);
}
