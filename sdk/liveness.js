/**
 * Whether what is held can still be believed. A stream that is cut without a
 * word looks like one on which nothing happens; heartbeats tell them apart.
 *
 * @import {Timers} from './timers.js'
 */

// Two heartbeats missed: say so. With the third due as well the stream is dead, whatever it says of itself.
const STALE_AFTER = 2;
const DEAD_AFTER = 3;

// A heartbeat may be late by a network's hiccup without being missed.
const SLACK_MS = 500;

export class Liveness {
  #timer = null;
  #heardAtMs = 0;

  /** @param {{timers: Timers, heartbeatMs: number, stale: () => void, dead: () => void}} parts */
  constructor({ timers, heartbeatMs, stale, dead }) {
    Object.assign(this, { timers, heartbeatMs, stale, dead });
  }

  /** Something was heard. */
  heard() {
    this.#heardAtMs = this.timers.nowMs();
    this.#wait(STALE_AFTER * this.heartbeatMs + SLACK_MS, () => this.#missed());
  }

  /** Nothing is expected any more. */
  stop() {
    this.timers.clear(this.#timer);
  }

  /** How long ago something was last heard. */
  get silentMs() {
    return this.timers.nowMs() - this.#heardAtMs;
  }

  #missed() {
    this.#wait((DEAD_AFTER - STALE_AFTER) * this.heartbeatMs - SLACK_MS, this.dead);
    this.stale();
  }

  #wait(ms, then) {
    this.timers.clear(this.#timer);
    this.#timer = this.timers.set(then, ms);
  }
}
