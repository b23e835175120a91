/**
 * Schedules the exchanges that measure the offset: a burst to settle, then at intervals. An
 * exchange is a PING and its PONG on the open stream.
 *
 * @import {ClockSync} from './sync.js'
 * @import {Timers} from './timers.js'
 */

const BURST_PINGS = 6;
const BURST_INTERVAL_MS = 120;
const PING_INTERVAL_MS = 5000;

// A PONG that never comes must not leak memory.
const MAX_OUTSTANDING_PINGS = 8;

export class Exchange {
  /** @type {Map<number, number>} From the timestamp of a PING to its exact origin stamp. */
  #origins = new Map();
  #sent = 0;
  /** @type {any} */
  #timer = null;
  /** @type {(frame: object) => void} */
  #send = () => {};

  /** @param {{sync: ClockSync, timers: Timers}} parts */
  constructor({ sync, timers }) {
    this.sync = sync;
    this.timers = timers;
  }

  /** @param {(frame: object) => void} send */
  start(send) {
    this.stop();
    this.#send = send;
    this.#sent = 0;
    this.#ping();
  }

  stop() {
    this.timers.clear(this.#timer);
    this.#origins.clear();
  }

  /** @param {{timestamp: number, received_at_ms: number, sent_at_ms: number, uncertainty_ms?: number}} pong */
  pong(pong) {
    const destination = this.sync.monotonicMs();
    const origin = this.#origins.get(pong.timestamp);
    if (origin === undefined) return;
    this.#origins.delete(pong.timestamp);
    const [receive, transmit] = [pong.received_at_ms, pong.sent_at_ms];
    const own = { uncertainty_ms: pong.uncertainty_ms };
    this.sync.take({ origin_ms: origin, receive_ms: receive, transmit_ms: transmit, destination_ms: destination, ...own });
  }

  #ping() {
    this.#sent += 1;
    this.#timer = this.timers.set(() => this.#ping(), this.#sent < BURST_PINGS ? BURST_INTERVAL_MS : PING_INTERVAL_MS);
    const origin = this.sync.monotonicMs();
    const timestamp = this.#mark(origin);
    this.#send({ type: 'PING', timestamp });
  }

  // Whole milliseconds travel through any JSON reader unchanged; the fraction stays here.
  /** @param {number} origin */
  #mark(origin) {
    let timestamp = Math.floor(origin);
    while (this.#origins.has(timestamp)) timestamp += 1;
    this.#origins.set(timestamp, origin);
    if (this.#origins.size > MAX_OUTSTANDING_PINGS) this.#origins.delete([...this.#origins.keys()][0]);
    return timestamp;
  }
}
