/**
 * Checks of arguments, before anything is sent: what makes no sense is a `TypeError` that names the field.
 *
 * @typedef {(value: unknown, name: string) => void} Check Throws if `value` makes no sense.
 */

// A hundred years.
const MAX_SPAN_MS = 3_162_240_000_000;

const ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/;

/**
 * @param {string} name
 * @param {string} wanted
 * @param {unknown} value
 * @returns {never}
 */
export function refuse(name, wanted, value) {
  throw new TypeError(`${name} must be ${wanted}, not ${shown(value)}`);
}

/**
 * @param {(value: any) => boolean} isFine
 * @param {string} wanted
 * @returns {Check}
 */
function that(isFine, wanted) {
  return (value, name) => {
    if (!isFine(value)) refuse(name, wanted, value);
  };
}

/** @param {any} value */
const isWhole = (value) => Number.isInteger(value);

export const id = that(
  (value) => typeof value === 'string' && ID.test(value),
  'an id: 1 to 128 of A-Z a-z 0-9 _ . : -, beginning with a letter or a digit',
);
export const span = that((ms) => isWhole(ms) && ms >= 0 && ms <= MAX_SPAN_MS, `whole milliseconds from 0 to ${MAX_SPAN_MS}`);
export const change = that((ms) => isWhole(ms) && Math.abs(ms) <= MAX_SPAN_MS, 'whole milliseconds, which may be negative');
export const count = that((value) => isWhole(value) && value >= 0, 'a whole number from 0');
export const number = that((value) => Number.isFinite(value), 'a number');
export const flag = that((value) => typeof value === 'boolean', 'true or false');
export const instant = that(
  (value) => Number.isFinite(value instanceof Date ? value.getTime() : typeof value === 'string' ? Date.parse(value) : value),
  'an RFC 3339 instant, or milliseconds since 1970',
);
export const object = that(isObject, 'an object');
export const callback = that((value) => typeof value === 'function', 'a function');

/** @param {number} maxBytes */
export function text(maxBytes) {
  const isFine = (/** @type {any} */ value) => typeof value === 'string' && value !== '' && new TextEncoder().encode(value).length <= maxBytes;
  return that(isFine, `a text of 1 to ${maxBytes} bytes`);
}

/** @param {readonly string[]} values */
export function oneOf(values) {
  return that((value) => values.includes(value), `one of ${values.join(', ')}`);
}

/**
 * @param {Check} check Of each.
 * @param {number} max
 * @returns {Check}
 */
export function list(check, max) {
  const isList = that((value) => Array.isArray(value) && value.length <= max, `a list of at most ${max}`);
  return (value, name) => {
    isList(value, name);
    /** @type {unknown[]} */ (value).forEach((one, at) => check(one, `${name}[${at}]`));
  };
}

/**
 * An object with these fields and no others; a field that is null or undefined counts as absent.
 *
 * @param {Record<string, Check>} checks
 * @param {string[]} [needed]
 * @returns {Check}
 */
export function fields(checks, needed = []) {
  return (value, name) => {
    object(value, name);
    const all = /** @type {Record<string, unknown>} */ (value);
    for (const [field, one] of Object.entries(all)) {
      if (!Object.hasOwn(checks, field)) throw new TypeError(`${name}.${field} is not known; the fields are ${Object.keys(checks).join(', ')}`);
      if (one !== undefined && one !== null) checks[field](one, `${name}.${field}`);
    }
    for (const field of needed) if (isAbsent(all, field)) throw new TypeError(`${name}.${field} is needed`);
  };
}

/**
 * That not more than one of `names` is there.
 *
 * @param {string[]} names
 * @param {boolean} [isNeeded] One must be there.
 * @returns {Check}
 */
export function only(names, isNeeded = false) {
  return (value, name) => {
    const there = names.filter((field) => !isAbsent(/** @type {any} */ (value), field));
    if (there.length > 1) throw new TypeError(`${name}.${there[1]} does not go with ${there[0]}`);
    if (isNeeded && there.length === 0) throw new TypeError(`${name}.${names[0]} or ${names[1]} is needed`);
  };
}

/**
 * @param {...Check} checks
 * @returns {Check}
 */
export function all(...checks) {
  return (value, name) => checks.forEach((check) => check(value, name));
}

/**
 * @param {Record<string, unknown>} object
 * @param {string} field
 */
function isAbsent(object, field) {
  return object[field] === undefined || object[field] === null;
}

/** @param {any} value */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {unknown} value */
function shown(value) {
  if (typeof value === 'number' || value === undefined) return String(value);
  try {
    return (JSON.stringify(value) ?? typeof value).slice(0, 60);
  } catch {
    return typeof value;
  }
}
