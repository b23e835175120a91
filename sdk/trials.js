/**
 * Tries the better transports beside the present one, now and then: the present stream goes on until a better one
 * delivers a frame.
 *
 * @import {Attempt, Loss, Watcher} from './attempt.js'
 * @import {Fallback} from './fallback.js'
 * @import {Frame} from './types.js'
 * @import {Timers} from './timers.js'
 *
 * @typedef {object} TrialParts
 * @property {Fallback} fallback
 * @property {Timers} timers
 * @property {(name: string, watcher: Watcher) => Attempt} newAttempt
 * @property {(attempt: Attempt, frame: Frame) => void} adopt The trial works, and becomes the present stream.
 * @property {() => void} failed
 */

export class Trials {
  /** @type {Attempt|null} */
  #attempt = null;
  /** @type {any} */
  #timer = null;

  /** @param {TrialParts} parts */
  constructor(parts) {
    this.parts = parts;
  }

  get isRunning() {
    return this.#attempt !== null;
  }

  /** Plans the next trial, if there is a better transport. */
  plan() {
    const { fallback, timers } = this.parts;
    timers.clear(this.#timer);
    const { better } = fallback;
    if (better.length > 0) this.#timer = timers.set(() => this.start(better), fallback.nextTrialMs());
  }

  /** @param {string[]} names Best first. */
  start([name, ...lesser]) {
    this.parts.timers.clear(this.#timer);
    if (!name) return this.plan();
    this.#attempt = this.parts.newAttempt(name, {
      opened: (attempt) => attempt.send?.({ type: 'PING', timestamp: 0 }),
      frame: (attempt, frame) => this.#adopt(attempt, frame),
      stale: () => {},
      lost: (_attempt, loss) => this.#failed(name, loss, lesser),
    });
    this.#attempt.open();
  }

  stop() {
    this.#attempt?.close();
    this.#attempt = null;
    this.parts.timers.clear(this.#timer);
  }

  /**
   * @param {Attempt} attempt
   * @param {Frame} frame
   */
  #adopt(attempt, frame) {
    this.#attempt = null;
    this.parts.fallback.returned(attempt.name);
    this.parts.adopt(attempt, frame);
  }

  /**
   * @param {string} name
   * @param {Loss} loss
   * @param {string[]} lesser The next to try.
   */
  #failed(name, { blame }, lesser) {
    this.#attempt = null;
    this.parts.fallback.failedTrial(name, blame);
    this.start(lesser);
    this.parts.failed();
  }
}
