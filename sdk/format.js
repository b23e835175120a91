/** Spans as text on a clock. */

const SECOND = 1000;
const HOUR = 3600 * SECOND;

/**
 * `4:32` and `.7`, or `1:02:03`: the large text of a clock, and the fraction beside it.
 *
 * Rounded down: 0:00 means that less than the smallest digit is left.
 *
 * @param {number} ms
 * @param {number} [digits] of the fraction, under an hour
 * @returns {{text: string, fraction: string}}
 */
export function clockText(ms, digits = 1) {
  const whole = Math.floor(Math.max(0, ms) + 1e-6);
  const [hours, minutes, seconds] = parts(Math.floor(whole / SECOND));
  if (whole >= HOUR) return { text: `${hours}:${two(minutes)}:${two(seconds)}`, fraction: '' };
  const fraction = String(whole % SECOND).padStart(3, '0').slice(0, digits);
  return { text: `${minutes}:${two(seconds)}`, fraction: digits ? `.${fraction}` : '' };
}

/**
 * `4 minutes 32 seconds`, for screen readers.
 *
 * @param {number} ms
 */
export function spokenText(ms) {
  const [hours, minutes, seconds] = parts(Math.floor(Math.max(0, ms) / SECOND));
  const units = [counted(hours, 'hour'), counted(minutes, 'minute'), counted(seconds, 'second')].filter(Boolean);
  return units.join(' ') || 'no time';
}

/** @param {number} seconds */
function parts(seconds) {
  return [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
}

/** @param {number} number */
function two(number) {
  return String(number).padStart(2, '0');
}

/**
 * @param {number} number
 * @param {string} unit
 */
function counted(number, unit) {
  return number === 0 ? '' : `${number} ${unit}${number === 1 ? '' : 's'}`;
}
