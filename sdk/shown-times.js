/**
 * The times that a display shows, to the step of its digits, and when the next one of them changes.
 *
 * @import {Snapshot} from './types.js'
 */

import { read, shownMs, startsInMs, statusAt } from './clock.js';

export class ShownTimes {
  /** @type {Map<string, number>} By the id of the clock: the steps shown. */
  #steps = new Map();
  /** @type {string|null} */
  #status = null;

  /** @param {number} stepMs What the last digit counts: 100 for tenths of a second. */
  constructor(stepMs) {
    this.stepMs = stepMs;
  }

  /**
   * What clock `id` shows; from now on its changes count.
   *
   * @param {Snapshot} snapshot
   * @param {string} id
   * @param {number} nowMs
   */
  read(snapshot, id, nowMs) {
    const ms = shownMs(snapshot, id, nowMs);
    // The first reading is what is on the screen; an event handler may read again later.
    if (!this.#steps.has(id)) this.#steps.set(id, this.#stepsOf(ms));
    return ms;
  }

  /**
   * The status, which changes by itself at a scheduled start.
   *
   * @param {Snapshot} snapshot
   * @param {number} nowMs
   */
  readStatus(snapshot, nowMs) {
    const status = statusAt(snapshot, nowMs);
    this.#status = status;
    return status;
  }

  /**
   * @param {Snapshot} snapshot
   * @param {number} nowMs
   */
  isOutdated(snapshot, nowMs) {
    if (this.#status !== null && statusAt(snapshot, nowMs) !== this.#status) return true;
    return [...this.#steps].some(([id, steps]) => this.#stepsOf(shownMs(snapshot, id, nowMs)) !== steps);
  }

  /**
   * How long nothing shown changes by itself; null if nothing ever does.
   *
   * @param {Snapshot} snapshot
   * @param {number} nowMs
   */
  nextChangeInMs(snapshot, nowMs) {
    const waits = [...this.#steps.keys()].map((id) => this.#nextStepInMs(snapshot, id, nowMs));
    const next = Math.min(...waits, startsInMs(snapshot, nowMs) ?? Infinity);
    return next === Infinity ? null : next;
  }

  /**
   * @param {Snapshot} snapshot
   * @param {string} id
   * @param {number} nowMs
   */
  #nextStepInMs(snapshot, id, nowMs) {
    const { shown_ms: ms, delay_left_ms: delayMs, is_running: isRunning } = read(snapshot, id, nowMs);
    const moved = shownMs(snapshot, id, nowMs + this.stepMs) - ms;
    const over = ms % this.stepMs;
    // A countdown leaves its step just after the step's beginning, a stopwatch at the beginning of the next.
    if (moved > 0 && moved <= this.stepMs) return this.stepMs - over;
    // What rises by more is a countdown that goes on with its next period.
    const isCounting = moved !== 0 || (isRunning && delayMs > 0);
    return isCounting ? delayMs + over + 1 : Infinity;
  }

  /** @param {number} ms */
  #stepsOf(ms) {
    return Math.floor(ms / this.stepMs);
  }
}
