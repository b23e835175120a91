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

import { FLAG, FUNCTION, OBJECT, POSITIVE, check, checkFields } from './checks.js';
import { AUTOMATIC } from './fallback.js';
import { systemTimers } from './timers.js';

const TEXT_OR_FUNCTION = { isFine: (/** @type {any} */ value) => /^(string|function)$/.test(typeof value), wanted: 'a text or a function' };

/** Those that are no number. @type {Record<string, import('./checks.js').Kind>} */
const KINDS = {
  token: TEXT_OR_FUNCTION,
  transport: TEXT_OR_FUNCTION,
  transports: OBJECT,
  stopAfterMaxAttempts: FLAG,
  fetch: FUNCTION,
  timers: OBJECT,
  random: FUNCTION,
};
const KNOWN = `${Object.keys(KINDS).join(' ')} firstRetryMs maxRetryMs maxAttempts requestTimeoutMs warnSkewMs`;

/** @param {Options} options */
export function checkedOptions(options) {
  checkFields(options, 'options', KNOWN, (name) => KINDS[name] ?? POSITIVE);
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
 * @param {any} base
 * @returns {string} Its origin.
 */
export function checkedBase(base) {
  check(base, 'base', { isFine: () => /^https?:/.test(base) && URL.canParse(base), wanted: 'an address such as https://timers.example' });
  return new URL(base).origin;
}
