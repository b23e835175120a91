/**
 * Notices that the page or the device wakes, or that the network is back. What looks open then may be dead.
 *
 * @import {Timers} from './timers.js'
 *
 * @typedef {object} Page The parts of a browser; elsewhere there are none, and the timer alone tells.
 * @property {Pick<EventTarget, 'addEventListener'|'removeEventListener'>} [window]
 * @property {Pick<Document, 'addEventListener'|'removeEventListener'|'visibilityState'>} [document]
 */

// A sleep is noticed by a timer that comes too late.
const LOOK_INTERVAL_MS = 5000;
const MIN_SLEEP_MS = 5000;

// One wake has several events.
const SAME_WAKE_MS = 100;

export class Wakes {
  /** @type {Set<(sleptMs: number) => void>} */
  #watchers = new Set();
  /** @type {any} */
  #timer = null;
  #lookedMs = 0;
  #wokeMs = -Infinity;

  /** @param {{timers: Timers, wallMs?: () => number, page?: Page}} parts */
  constructor({ timers, wallMs = Date.now, page = pageHere() }) {
    this.timers = timers;
    this.wallMs = wallMs;
    this.page = page;
  }

  /**
   * Calls `woken` with how long the page slept; 0 if it did not. It listens while there is anyone to call.
   *
   * @param {(sleptMs: number) => void} woken
   * @returns {() => void}
   */
  watch(woken) {
    this.#watchers.add(woken);
    if (this.#watchers.size === 1) this.#start();
    return () => {
      if (this.#watchers.delete(woken) && this.#watchers.size === 0) this.#stop();
    };
  }

  #start() {
    const { window, document } = this.page;
    window?.addEventListener('online', this.#woken);
    window?.addEventListener('pageshow', this.#shown);
    for (const name of ['visibilitychange', 'resume']) document?.addEventListener(name, this.#seen);
    this.#look();
  }

  #stop() {
    const { window, document } = this.page;
    window?.removeEventListener('online', this.#woken);
    window?.removeEventListener('pageshow', this.#shown);
    for (const name of ['visibilitychange', 'resume']) document?.removeEventListener(name, this.#seen);
    this.timers.clear(this.#timer);
  }

  #look() {
    this.timers.clear(this.#timer);
    this.#lookedMs = this.wallMs();
    this.#timer = this.timers.set(() => this.#looked(), LOOK_INTERVAL_MS);
  }

  #looked() {
    if (this.#sleptMs > 0) this.#woken();
    else this.#look();
  }

  get #sleptMs() {
    const lateMs = this.wallMs() - this.#lookedMs - LOOK_INTERVAL_MS;
    return lateMs > MIN_SLEEP_MS ? lateMs : 0;
  }

  #woken = () => {
    const nowMs = this.wallMs();
    const sleptMs = this.#sleptMs;
    this.#look();
    if (Math.abs(nowMs - this.#wokeMs) < SAME_WAKE_MS) return;
    this.#wokeMs = nowMs;
    for (const woken of [...this.#watchers]) woken(sleptMs);
  };

  #seen = () => {
    if (this.page.document?.visibilityState !== 'hidden') this.#woken();
  };

  // A page that is loaded is shown as well; only one that comes back from the cache has slept.
  #shown = (/** @type {Event} */ event) => {
    if (/** @type {PageTransitionEvent} */ (event).persisted) this.#woken();
  };
}

/** @returns {Page} */
function pageHere() {
  return globalThis.document ? { window: globalThis.window, document: globalThis.document } : {};
}
