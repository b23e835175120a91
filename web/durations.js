/** Spans in the units of forms, as milliseconds. Pure. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** @param {number} count */
export const seconds = (count) => Math.round(count * SECOND);

/** @param {number} count */
export const minutes = (count) => Math.round(count * MINUTE);

/** @param {number} count */
export const hours = (count) => Math.round(count * HOUR);
