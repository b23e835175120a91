/**
 * Runs something at once, and then at most once in a while however often it is asked for.
 *
 * @import {Timers} from './timers.js'
 */

export class Throttle {
  /** @type {any} */
  #timer = null;
  #isDue = false;

  /** @param {{timers: Timers, intervalMs: number, run: () => void}} parts */
  constructor({ timers, intervalMs, run }) {
    this.timers = timers;
    this.intervalMs = intervalMs;
    this.run = run;
  }

  ask() {
    this.#isDue = true;
    if (this.#timer === null) this.#next();
  }

  stop() {
    this.timers.clear(this.#timer);
    this.#timer = null;
    this.#isDue = false;
  }

  #next() {
    this.#timer = null;
    if (!this.#isDue) return;
    this.#isDue = false;
    this.#timer = this.timers.set(() => this.#next(), this.intervalMs);
    this.run();
  }
}
