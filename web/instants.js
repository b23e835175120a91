/** Instants as text, in this device's time zone. Pure. */

const DAY = { weekday: 'short', day: 'numeric', month: 'short' };

/**
 * `22:05`, or `Sun 29 Nov, 22:05` on another day than that of `nowMs`.
 *
 * @param {number} ms
 * @param {number} nowMs
 */
export function minuteText(ms, nowMs) {
  return dated(ms, nowMs, { hour: '2-digit', minute: '2-digit' });
}

/**
 * `22:05:58`, or `Sun 29 Nov, 22:05:58` on another day than that of `nowMs`.
 *
 * @param {number} ms
 * @param {number} nowMs
 */
export function secondText(ms, nowMs) {
  return dated(ms, nowMs, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
}

function dated(ms, nowMs, form) {
  const [at, now] = [new Date(ms), new Date(nowMs)];
  const time = at.toLocaleTimeString('en-GB', form);
  if (at.toDateString() === now.toDateString()) return time;
  const year = at.getFullYear() === now.getFullYear() ? {} : { year: 'numeric' };
  return `${at.toLocaleDateString('en-GB', { ...DAY, ...year })}, ${time}`;
}
