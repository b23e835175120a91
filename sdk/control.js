/**
 * How a bank runs down: delay first, then main time, then overtime. Closed formulas
 * of the bank at the anchor and the time elapsed since.
 *
 * @import {Byoyomi, Canadian, Overtime, Phase} from './types.js'
 *
 * @typedef {object} Bank The bank of a clock at its anchor.
 * @property {number} left_ms
 * @property {number} delay_left_ms
 * @property {Phase} phase
 * @property {Overtime|null} overtime
 *
 * @typedef {object} Spent
 * @property {number} shown_ms
 * @property {number} delay_left_ms
 * @property {Phase} phase
 * @property {boolean} is_out
 */

/**
 * What is left of `bank` after `elapsedMs`.
 *
 * A bank that reaches zero is out at that very instant, or in its next period.
 *
 * @param {Bank} bank
 * @param {number} elapsedMs
 * @returns {Spent}
 */
export function spend(bank, elapsedMs) {
  const left = bank.left_ms - Math.max(0, elapsedMs - bank.delay_left_ms);
  if (left <= 0) return OVERTIMES[bank.overtime?.type ?? 'none'](bank, -left);
  const delayLeft = Math.max(0, bank.delay_left_ms - elapsedMs);
  return { shown_ms: left, delay_left_ms: delayLeft, phase: bank.phase, is_out: false };
}

/**
 * @param {Phase} phase
 * @returns {Spent}
 */
export function out(phase) {
  return { shown_ms: 0, delay_left_ms: 0, phase, is_out: true };
}

/** @type {Record<Overtime['type']|'none', (bank: Bank, overMs: number) => Spent>} */
const OVERTIMES = { none: (bank) => out(bank.phase), byoyomi, canadian };

/**
 * A period that ends is spent, and the next begins at that exact instant.
 *
 * @param {Bank} bank
 * @param {number} overMs
 */
function byoyomi(bank, overMs) {
  const { periods, period_ms: periodMs } = /** @type {Byoyomi} */ (bank.overtime);
  const spentBefore = bank.phase.type === 'byoyomi' ? bank.phase.period : 0;
  const period = spentBefore + 1 + Math.floor(overMs / periodMs);
  if (period > periods) return out({ type: 'byoyomi', period: periods, periods });
  return inOvertime(periodMs - (overMs % periodMs), { type: 'byoyomi', period, periods });
}

/**
 * @param {Bank} bank
 * @param {number} overMs
 */
function canadian(bank, overMs) {
  const { cycles, period_ms: periodMs } = /** @type {Canadian} */ (bank.overtime);
  const isInBlock = bank.phase.type === 'canadian';
  /** @type {Phase} */
  const phase = isInBlock ? bank.phase : { type: 'canadian', cycles_left: cycles, cycles };
  return isInBlock || overMs >= periodMs ? out(phase) : inOvertime(periodMs - overMs, phase);
}

/**
 * @param {number} shownMs
 * @param {Phase} phase
 * @returns {Spent}
 */
function inOvertime(shownMs, phase) {
  return { shown_ms: shownMs, delay_left_ms: 0, phase, is_out: false };
}
