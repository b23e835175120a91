/**
 * The tokens of one client: asked for when one is needed, again before the end of the present one, and again after a
 * refusal. A callback that gives none that the server takes is not asked for ever.
 *
 * @import {Timers} from './timers.js'
 *
 * @typedef {() => string|null|Promise<string|null>} TokenCallback
 */

import { noToken, problemOf } from './problem.js';

// A renewal begins when a fifth of the token's life is left, and at most a minute before its end.
const LEAD_SHARE = 0.2;
const MAX_LEAD_MS = 60_000;

// A token that ends sooner is not renewed in advance any more.
const MIN_LEFT_MS = 1000;

// The longest span of the platform's timers is 24.8 days.
const MAX_WAIT_MS = 6 * 3_600_000;

// So many new tokens may be refused in a row.
const MAX_REFUSALS = 2;

export class Tokens {
  /** Why there is no valid token. @type {Error|null} */
  error = null;
  /** @type {string|null|undefined} */
  #token = undefined;
  /** The token with which the callback failed: it is asked again only for a new request. @type {string|null|undefined} */
  #dead = undefined;
  #refusals = 0;
  /** @type {Promise<string|null>|null} */
  #asking = null;
  /** @type {Promise<boolean>|null} */
  #replacing = null;
  /** @type {Set<(token: string|null) => void>} */
  #watchers = new Set();
  /** @type {any} */
  #timer = null;

  /**
   * @param {object} parts
   * @param {TokenCallback} parts.ask
   * @param {Timers} parts.timers
   * @param {() => number|null} parts.now Cluster time; null while unknown.
   * @param {number} parts.timeoutMs How long one answer of `ask` may take.
   * @param {(error: Error) => void} parts.failed A renewal in advance failed; the present token still counts.
   */
  constructor({ ask, timers, now, timeoutMs, failed }) {
    this.ask = ask;
    this.timers = timers;
    this.now = now;
    this.timeoutMs = timeoutMs;
    this.failed = failed;
  }

  /** The present token; undefined if one must be asked for. */
  get current() {
    return this.#token === this.#dead ? undefined : this.#token;
  }

  /**
   * A token to use now.
   *
   * @returns {Promise<string|null>}
   */
  async get() {
    const { current } = this;
    if (current !== undefined) return current;
    try {
      return await this.#request();
    } catch (error) {
      throw this.#fail(this.#token, error);
    }
  }

  /** The server took the present token. */
  accepted() {
    this.#refusals = 0;
    this.error = null;
  }

  /**
   * The server refused `token`.
   *
   * @param {string|null|undefined} token
   * @returns {Promise<boolean>} Whether there is another one to try.
   */
  async refused(token) {
    if (token !== this.#token) return true;
    if (token === this.#dead && this.error) return false;
    // Every stream is refused at once when a token ends; that is one refusal.
    this.#replacing ??= this.#replace(token).finally(() => {
      this.#replacing = null;
    });
    return this.#replacing;
  }

  /** @param {string|null|undefined} token */
  async #replace(token) {
    this.#refusals += 1;
    try {
      if (this.#refusals > MAX_REFUSALS) throw noToken(`the server refused ${this.#refusals} tokens in a row`);
      if ((await this.#request()) === token) throw noToken('the token callback gave a refused token again');
      return true;
    } catch (error) {
      this.#fail(token, error);
      return false;
    }
  }

  /**
   * Calls `renewed` with each new token, and renews in advance while there is anyone to call.
   *
   * @param {(token: string|null) => void} renewed
   * @returns {() => void}
   */
  watch(renewed) {
    this.#watchers.add(renewed);
    if (this.#watchers.size === 1) this.plan();
    return () => {
      this.#watchers.delete(renewed);
      if (this.#watchers.size === 0) this.timers.clear(this.#timer);
    };
  }

  /** Plans the next renewal; also called once cluster time is known. */
  plan() {
    this.timers.clear(this.#timer);
    const [now, endMs] = [this.now(), endOf(this.current)];
    if (this.#watchers.size === 0 || now === null || endMs === null) return;
    const leftMs = endMs - now;
    if (leftMs < MIN_LEFT_MS) return;
    const waitMs = leftMs - Math.min(leftMs * LEAD_SHARE, MAX_LEAD_MS);
    const next = waitMs > MAX_WAIT_MS ? () => this.plan() : () => this.#renew();
    this.#timer = this.timers.set(next, Math.min(waitMs, MAX_WAIT_MS));
  }

  async #renew() {
    try {
      await this.#request();
    } catch (error) {
      this.failed(problemOf(error));
      this.plan();
    }
  }

  // Requests at the same time share one call of the callback.
  #request() {
    this.#asking ??= this.#call().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #call() {
    const token = await this.#answer();
    if (token === this.#token) {
      this.plan();
      return token;
    }
    this.#token = token;
    this.plan();
    for (const renewed of [...this.#watchers]) renewed(token);
    return token;
  }

  /** @returns {Promise<string|null>} */
  #answer() {
    return new Promise((resolve, reject) => {
      const late = () => reject(noToken(`the token callback did not answer within ${this.timeoutMs} ms`));
      const timer = this.timers.set(late, this.timeoutMs);
      const told = Promise.resolve().then(this.ask).then(checked);
      told.then(resolve, (error) => reject(noToken(`the token callback failed: ${problemOf(error).message}`, error)));
      told.catch(() => {}).finally(() => this.timers.clear(timer));
    });
  }

  /**
   * @param {string|null|undefined} token
   * @param {unknown} error
   */
  #fail(token, error) {
    this.#dead = token;
    this.#refusals = 0;
    this.error = problemOf(error);
    return this.error;
  }
}

/** @param {unknown} token */
function checked(token) {
  if (token === null || (typeof token === 'string' && token !== '')) return token;
  throw new TypeError('token must be a text or null');
}

/**
 * The end of a token, in Unix ms; null if it cannot be read.
 *
 * @param {string|null|undefined} token
 * @returns {number|null}
 */
export function endOf(token) {
  try {
    const { exp } = JSON.parse(atob((token ?? '').split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
    return Number.isFinite(exp) ? exp * 1000 : null;
  } catch {
    return null;
  }
}
