/**
 * The long-poll transport, for networks that let no stream through. The server answers
 * each request as soon as there is a new version. The transport delivers the answer as
 * the same frames that streams bring.
 *
 * @import {Address} from './address.js'
 * @import {Listener, Stream, Transport} from './websocket.js'
 * @import {Frame} from './types.js'
 * @import {Timers} from './timers.js'
 *
 * @typedef {object} Answer
 * @property {string} position
 * @property {Frame[]} [events]
 * @property {import('./types.js').Snapshot|null} [session]
 * @property {number} [next_poll_ms]
 */

import { authorization, sessionUrl } from './address.js';
import { isNewer, parsePosition } from './position.js';
import { systemTimers } from './timers.js';

// The first answer shows that long-poll works; it is short, so that this does not wait for a change.
const FIRST_TIMEOUT_MS = 1000;

// A proxy may answer in the server's place, always the same; it must not be asked without pause.
const UNCHANGED_PAUSE_MS = 1000;

// The close code of a stream for each status of a refused request.
/** @type {Record<number, number>} */
const CLOSE_CODES = { 401: 4500, 403: 4501, 404: 4502, 429: 4008 };
const TEMPORARY_CODE = 4004;

/**
 * @param {{fetch?: typeof globalThis.fetch, timers?: Timers}} [parts]
 * @returns {Transport}
 */
export function longPolls({ fetch = (...args) => globalThis.fetch(...args), timers = systemTimers } = {}) {
  return (address, listener) => {
    const poll = new LongPoll({ address, listener, fetch, timers });
    poll.run();
    return poll;
  };
}

/** @implements {Stream} */
class LongPoll {
  /** It only receives. @type {null} */
  send = null;
  #controller = new AbortController();
  /** @type {any} */
  #timer = null;
  #isOpen = false;

  /** @param {{address: Address, listener: Listener, fetch: typeof globalThis.fetch, timers: Timers}} parts */
  constructor({ address, listener, fetch, timers }) {
    this.address = address;
    this.listener = listener;
    this.fetch = fetch;
    this.timers = timers;
    this.since = address.last;
  }

  close() {
    this.#controller.abort();
    this.timers.clear(this.#timer);
  }

  /** @param {string} token For the next request. */
  renew(token) {
    this.address = { ...this.address, token };
  }

  get isOver() {
    return this.#controller.signal.aborted;
  }

  async run() {
    for (let timeoutMs = FIRST_TIMEOUT_MS; !this.isOver; timeoutMs = this.address.heartbeatMs) {
      const askedAtMs = this.timers.nowMs();
      const answer = await this.#request(timeoutMs);
      if (!answer || this.isOver) return;
      const isUnchanged = answer.position === this.since && this.timers.nowMs() - askedAtMs < timeoutMs / 2;
      this.#deliver(answer);
      await this.#wait(Math.max(answer.next_poll_ms ?? 0, isUnchanged ? UNCHANGED_PAUSE_MS : 0));
    }
  }

  /**
   * The answer; null if the poll has ended.
   *
   * @param {number} timeoutMs
   * @returns {Promise<Answer|null>}
   */
  async #request(timeoutMs) {
    const { token } = this.address;
    try {
      const response = await this.fetch(this.#url(timeoutMs).href, this.#init());
      // It waited beyond the end of a token that was renewed meanwhile.
      if (response.status === 401 && token !== this.address.token) return await this.#request(timeoutMs);
      if (!response.ok) return this.#end(CLOSE_CODES[response.status] ?? TEMPORARY_CODE, response.statusText);
      return await response.json();
    } catch {
      return this.#end(1006, '');
    }
  }

  /** @param {number} timeoutMs */
  #url(timeoutMs) {
    const url = sessionUrl(this.address.base, this.address.sessionId, 'poll');
    if (this.since) url.searchParams.set('since', this.since);
    url.searchParams.set('timeout_ms', String(timeoutMs));
    return url;
  }

  #init() {
    const headers = { Accept: 'application/json', ...authorization(this.address.token) };
    return /** @type {RequestInit} */ ({ headers, cache: 'no-store', signal: this.#controller.signal });
  }

  /** @param {Answer} answer */
  #deliver({ position, events = [], session }) {
    if (!this.#isOpen) this.listener.opened();
    this.#isOpen = true;
    for (const frame of events) this.#frame(frame);
    const delivered = parsePosition(events.at(-1)?.position ?? this.since);
    const isMore = session && isNewer(session, delivered);
    const rest = isMore ? { type: 'STATE_SYNC', payload: session } : { type: 'HEARTBEAT', payload: {} };
    this.#frame({ session_id: this.address.sessionId, position, ...rest });
    this.since = position;
  }

  /** @param {Frame} frame */
  #frame(frame) {
    if (!this.isOver) this.listener.frame(frame);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (this.isOver) return null;
    this.close();
    this.listener.closed(code, reason);
    return null;
  }

  /** @param {number} ms */
  #wait(ms) {
    if (ms <= 0 || this.isOver) return null;
    return /** @type {Promise<void>} */ (new Promise((done) => {
      this.#timer = this.timers.set(done, ms);
    }));
  }
}
