/**
 * Timers, so that tests can replace them and need not sleep.
 *
 * @typedef {object} Timers
 * @property {(run: () => void, ms: number) => any} set
 * @property {(timer: any) => void} clear
 * @property {() => number} nowMs Monotonic.
 */

/** @type {Timers} */
export const systemTimers = {
  set: (run, ms) => setTimeout(run, ms),
  clear: (timer) => clearTimeout(timer),
  nowMs: () => performance.now(),
};
