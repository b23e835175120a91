/**
 * One session as a component shows it: followed while the component is mounted, and drawn again when what it shows has
 * changed.
 *
 * @import {Snapshot} from './types.js'
 * @import {SyncKairosClient} from './client.js'
 *
 * @typedef {object} View What was drawn last. It is replaced, never changed.
 * @property {Snapshot|null} session
 * @property {boolean} isConnected
 * @property {Error|null} error
 */

import { Display } from './display.js';
import { SyncKairosError, unreachable } from './problem.js';
import { ShownTimes } from './shown-times.js';

// After these the state of the stream may have changed.
const STATE_EVENTS = /** @type {const} */ (['connected', 'disconnected', 'reconnecting', 'stale', 'fresh']);

/** The error of a stream that does not come back, by its close code. @type {Record<number, {code: string, status: number}>} */
const ENDINGS = {
  4500: { code: 'unauthenticated', status: 401 },
  4501: { code: 'forbidden', status: 403 },
  4502: { code: 'session_not_found', status: 404 },
  4503: { code: 'session_deleted', status: 404 },
};

/** What a component shows before its page is live, and on a server. @type {View} */
export const NOTHING = { session: null, isConnected: false, error: null };

export class FollowedSession {
  /** @type {View} */
  view = NOTHING;
  /** @type {ShownTimes|null} What the component showed when it was drawn last. */
  #times = null;
  /** @type {Error|null} */
  #error = null;
  /** @type {{code: number, error: Error|null}} Of the stream that ended last. */
  #ending = { code: 0, error: null };
  /** @type {(() => void)|null} null: nobody shows it. */
  #changed = null;
  #display = new Display(() => this.#draw());

  /**
   * @param {SyncKairosClient|null} client
   * @param {string|null} sessionId
   */
  constructor(client, sessionId) {
    this.client = client;
    this.sessionId = sessionId;
    this.view = this.#newest();
  }

  /**
   * Follows the session until the returned function is called.
   *
   * @param {() => void} changed
   * @returns {() => void}
   */
  subscribe = (changed) => {
    const { client, sessionId } = this;
    if (!client || !sessionId) return () => {};
    this.#changed = changed;
    const update = () => this.#request();
    const stops = [
      ...STATE_EVENTS.map((name) => client.on(name, update)),
      client.on('connected', this.#ifMine(() => this.fail(null))),
      client.on('connectionFailed', this.#ifMine(() => client.ended(sessionId) ?? this.fail(unreachable()))),
      client.on('error', this.#ifMine(({ error }) => this.fail(error))),
      client.connect(sessionId, update),
    ];
    update();
    return () => {
      for (const stop of stops) stop();
      this.#display.stop();
      this.#changed = null;
    };
  };

  /**
   * The component was drawn with these times.
   *
   * @param {ShownTimes} times
   */
  shown(times) {
    this.#times = times;
    this.#plan();
  }

  /** @param {Error|null} error What the component shows; null after a success. */
  fail(error) {
    this.#error = error;
    this.#request();
  }

  #request() {
    if (this.#changed) this.#display.request();
  }

  /**
   * @template {{sessionId?: string}} T
   * @param {(payload: T) => void} listener
   * @returns {(payload: T) => void}
   */
  #ifMine(listener) {
    return (payload) => {
      if ((payload.sessionId ?? this.sessionId) === this.sessionId) listener(payload);
    };
  }

  #draw() {
    const view = this.#newest();
    if (isSame(view, this.view) && !this.#isOutdated()) return this.#plan();
    this.view = isSame(view, this.view) ? { ...view } : view;
    this.#changed?.();
  }

  #isOutdated() {
    const { session } = this.view;
    return Boolean(session && this.client && this.#times?.isOutdated(session, this.client.getServerTime()));
  }

  #plan() {
    const { client, view: { session } } = this;
    const times = this.#changed && this.#times;
    this.#display.requestIn(session && client && times ? times.nextChangeInMs(session, client.getServerTime()) : null);
  }

  /** @returns {View} */
  #newest() {
    const { client, sessionId } = this;
    if (!client || !sessionId) return NOTHING;
    const isConnected = client.state(sessionId) === 'live';
    return { session: client.session(sessionId), isConnected, error: this.#endingOf(client, sessionId) ?? this.#error };
  }

  /**
   * @param {SyncKairosClient} client
   * @param {string} sessionId
   */
  #endingOf(client, sessionId) {
    const { code, reason } = client.ended(sessionId) ?? { code: 0, reason: '' };
    if (code !== this.#ending.code) {
      const known = ENDINGS[code];
      this.#ending = { code, error: known ? new SyncKairosError({ ...known, title: reason }) : null };
    }
    return this.#ending.error;
  }
}

/**
 * @param {View} one
 * @param {View} other
 */
function isSame(one, other) {
  return one.session === other.session && one.isConnected === other.isConnected && one.error === other.error;
}
