/**
 * The options of a client, checked and with their defaults.
 *
 * @import {Timers} from './timers.js'
 * @import {TokenCallback} from './tokens.js'
 * @import {Transport} from './websocket.js'
 *
 * @typedef {object} Options
 * @property {string|null|TokenCallback} [token] A callback is asked again before the token's end.
 * @property {string|Transport} [transport] `automatic`, the name of a transport to stay with, or your own.
 * @property {Record<string, Transport>} [transports] Best first; by default those of the platform.
 * @property {number} [firstRetryMs] The first wait before a retry: 250 ms, less up to a half at random.
 * @property {number} [maxRetryMs] The longest one: 15 s.
 * @property {number} [maxAttempts] Failed tries in a row until `connectionFailed`: 10.
 * @property {boolean} [stopAfterMaxAttempts] Then it stops trying; by default it goes on.
 * @property {number} [requestTimeoutMs] How long a call may take: 10 s.
 * @property {number} [warnSkewMs] By how much the device's clock may be wrong without `clockSkewDetected`: 60 s.
 * @property {typeof globalThis.fetch} [fetch]
 * @property {Timers} [timers]
 * @property {() => number} [random] In [0, 1).
 */

import { all, callback, count, fields, flag, object, refuse } from './checks.js';
import { AUTOMATIC } from './fallback.js';
import { systemTimers } from './timers.js';

/** @type {import('./checks.js').Check} */
const positive = all(count, (value, name) => value === 0 && refuse(name, 'more than 0', value));

const OPTIONS = fields({
  token: textOr('a text, a function or null'),
  transport: textOr('a name or a function'),
  transports: object,
  firstRetryMs: positive,
  maxRetryMs: positive,
  maxAttempts: positive,
  stopAfterMaxAttempts: flag,
  requestTimeoutMs: positive,
  warnSkewMs: positive,
  fetch: callback,
  timers: object,
  random: callback,
});

/** @param {Options} options */
export function checkedOptions(options) {
  OPTIONS(options, 'options');
  const { firstRetryMs: firstMs, maxRetryMs: maxMs } = options;
  return {
    transport: AUTOMATIC,
    maxAttempts: 10,
    stopAfterMaxAttempts: false,
    requestTimeoutMs: 10_000,
    warnSkewMs: 60_000,
    timers: systemTimers,
    ...options,
    token: options.token ?? null,
    retry: { ...(firstMs && { firstMs }), ...(maxMs && { maxMs }) },
  };
}

/**
 * @param {unknown} base
 * @returns {string} Its origin.
 */
export function checkedBase(base) {
  const url = typeof base === 'string' && URL.canParse(base) ? new URL(base) : null;
  if (!url || !['http:', 'https:'].includes(url.protocol)) return refuse('base', 'an address such as https://timers.example', base);
  return url.origin;
}

/**
 * @param {string} wanted
 * @returns {import('./checks.js').Check}
 */
function textOr(wanted) {
  return (value, name) => {
    if (typeof value !== 'function' && (typeof value !== 'string' || value === '')) refuse(name, wanted, value);
  };
}
