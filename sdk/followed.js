/**
 * One session that a client follows, for as long as it has followers: its connection, its cues, and what is told of it.
 *
 * @import {Connection, Lost, State} from './connection.js'
 * @import {Events} from './events.js'
 * @import {ClockSync} from './sync.js'
 * @import {Edge, Snapshot} from './types.js'
 * @import {Timers} from './timers.js'
 *
 * @typedef {<K extends keyof Events>(name: K, payload: Events[K]) => void} Emit
 *
 * @typedef {object} FollowedParts
 * @property {string} sessionId
 * @property {Connection} connection
 * @property {ClockSync} sync
 * @property {Timers} timers
 * @property {Emit} emit
 * @property {number} maxAttempts
 * @property {boolean} stopAfterMaxAttempts
 * @property {() => Error|null} tokenError Why there is no valid token.
 */

import { Cues } from './cues.js';
import { Listeners } from './listeners.js';
import { SyncKairosError, problemOf } from './problem.js';
import { TOKEN_REFUSED } from './token-transport.js';

const DELETED = 4503;

// The code of a problem by the code of the close that means the same.
/** @type {Record<number, string>} */
const PROBLEMS = { 4500: 'unauthenticated', 4501: 'forbidden', 4502: 'session_not_found', 4504: 'malformed' };

export class Followed {
  #followers = new Listeners();
  #count = 0;
  #isConnected = false;
  #isStale = false;
  #attempts = 0;

  /** @param {FollowedParts} parts */
  constructor(parts) {
    this.parts = parts;
    this.sessionId = parts.sessionId;
    this.connection = parts.connection;
    const { timers, sync } = parts;
    this.cues = new Cues({ timers, sync, give: (edge, session) => this.#cue(edge, session) });
    this.#listen();
  }

  /**
   * @param {(snapshot: Snapshot) => void} onUpdate
   * @param {() => void} left Called once the last follower has gone.
   * @returns {() => void}
   */
  add(onUpdate, left) {
    const remove = this.#followers.add('update', (/** @type {Snapshot} */ snapshot) => onUpdate(snapshot));
    let isFollowing = true;
    this.#count += 1;
    // Not within the call: the caller does not have the function yet that ends it.
    const { session } = this.connection;
    if (session) queueMicrotask(() => isFollowing && onUpdate(session));
    return () => {
      if (!isFollowing) return;
      isFollowing = false;
      remove();
      this.#count -= 1;
      if (this.#count === 0) left();
    };
  }

  close() {
    this.connection.close();
    this.cues.stop();
  }

  #listen() {
    const { connection, cues } = this;
    connection.on('session', (/** @type {Snapshot} */ session) => this.#updated(session));
    connection.on('state', (/** @type {State} */ state) => this.#states[state]?.());
    connection.on('lost', (/** @type {Lost} */ lost) => this.#lost(lost));
    connection.on('warning', (/** @type {any} */ warning) => cues.warned(warning));
    connection.on('expired', (/** @type {any} */ expired) => cues.told(expired));
  }

  /** @param {Snapshot} session */
  #updated(session) {
    this.cues.update(session);
    this.#emit('update', { session });
    this.#followers.emit('update', session);
  }

  /** @type {Partial<Record<State, () => void>>} */
  #states = {
    live: () => this.#live(),
    stale: () => {
      this.#isStale = true;
      this.#emit('stale', {});
    },
    closed: () => this.#closed(),
  };

  #live() {
    this.#attempts = 0;
    if (this.#isStale) this.#emit('fresh', {});
    this.#isStale = false;
    if (this.#isConnected) return;
    this.#isConnected = true;
    this.#emit('connected', {});
  }

  /** @param {{code: number, reason: string}} end */
  #disconnected({ code, reason }) {
    if (!this.#isConnected) return;
    this.#isConnected = false;
    this.#emit('disconnected', { code, reason });
  }

  /** @param {Lost} lost */
  #lost({ code, reason, failures, delayMs }) {
    const { maxAttempts, stopAfterMaxAttempts } = this.parts;
    this.#attempts = failures;
    this.#disconnected({ code, reason });
    if (failures === maxAttempts) this.#emit('connectionFailed', { attempts: failures });
    if (failures >= maxAttempts && stopAfterMaxAttempts) return this.connection.close(code, 'no connection');
    this.#emit('reconnecting', { attempt: failures + 1, delay: delayMs });
  }

  #closed() {
    const { code, reason } = this.connection.ended ?? { code: 1000, reason: '' };
    this.cues.stop();
    this.#disconnected({ code, reason });
    if (code < 4500 || code === DELETED) return;
    this.#emit('error', { error: this.#errorOf(code, reason) });
    this.#emit('connectionFailed', { attempts: this.#attempts });
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #errorOf(code, reason) {
    const token = code === TOKEN_REFUSED ? this.parts.tokenError() : null;
    return token ? problemOf(token) : new SyncKairosError({ code: PROBLEMS[code] ?? 'closed', title: reason });
  }

  /**
   * @param {Edge} edge
   * @param {Snapshot|null} session
   */
  #cue(edge, session) {
    const { type, ...rest } = edge;
    this.#emit('cue', edge);
    if (type === 'warning') this.#emit('timeWarning', rest);
    if (type !== 'expiry') return;
    const { at, remaining_ms: _remaining, ...clock } = rest;
    this.#emit('timeExpired', { action: session?.action_on_timeout.type, ...clock, expired_at: at });
  }

  /**
   * @template {keyof Events} K
   * @param {K} name
   * @param {Omit<Events[K], 'sessionId'>} payload
   */
  #emit(name, payload) {
    this.parts.emit(name, /** @type {any} */ ({ sessionId: this.sessionId, ...payload }));
  }
}
