/**
 * Whether a stream is still alive. A dead connection looks like a stream on which
 * nothing happens; heartbeats tell them apart.
 *
 * @import {Timers} from './timers.js'
 */

// Two missed heartbeats make the stream stale. After half an interval more it counts as dead: the next transport must be
// live within ten seconds, and a poll that brings nothing new takes one of them.
const STALE_AFTER_HEARTBEATS = 2;
const DEAD_AFTER_HEARTBEATS = 2.5;

// A heartbeat may be late by as much without being missed.
const SLACK_MS = 500;

export class Liveness {
  /** @type {any} */
  #timer = null;
  #receivedAtMs = 0;

  /** @param {{timers: Timers, heartbeatMs: number, stale: () => void, dead: () => void}} parts */
  constructor({ timers, heartbeatMs, stale, dead }) {
    this.timers = timers;
    this.heartbeatMs = heartbeatMs;
    this.stale = stale;
    this.dead = dead;
  }

  /** A frame was received, or the stream opened. */
  received() {
    this.#receivedAtMs = this.timers.nowMs();
    this.#wait(STALE_AFTER_HEARTBEATS * this.heartbeatMs + SLACK_MS, () => this.#missed());
  }

  /**
   * A frame is due within `ms`; otherwise `missed` is called.
   *
   * @param {number} ms
   * @param {() => void} missed
   */
  expect(ms, missed) {
    this.#wait(ms, missed);
  }

  /** No frame is expected any more. */
  stop() {
    this.timers.clear(this.#timer);
  }

  /** Whether a heartbeat should have been received since the last frame. */
  get isOverdue() {
    return this.silentMs > this.heartbeatMs + SLACK_MS;
  }

  /** How long ago the last frame was received. */
  get silentMs() {
    return this.timers.nowMs() - this.#receivedAtMs;
  }

  #missed() {
    this.#wait((DEAD_AFTER_HEARTBEATS - STALE_AFTER_HEARTBEATS) * this.heartbeatMs - SLACK_MS, this.dead);
    this.stale();
  }

  /**
   * @param {number} ms
   * @param {() => void} then
   */
  #wait(ms, then) {
    this.timers.clear(this.#timer);
    this.#timer = this.timers.set(then, ms);
  }
}
