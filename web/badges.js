/** The badges of a clock: its period, stage, reserve, delay and overrun. Pure. */

import { clockText } from '/sdk/format.js';
import { clockOf } from './clocks.js';
import { counted, termsOf } from './terms.js';

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 * @param {import('/sdk/clock.js').Reading} reading
 * @returns {string[]}
 */
export function badgesOf(session, id, reading) {
  const clock = clockOf(session, id);
  const control = clock.time_control ?? session.time_control ?? {};
  const facts = { session, clock, control, reading, terms: termsOf(session) };
  return BADGES.map((badge) => badge(facts)).filter(Boolean);
}

const BADGES = [over, phase, stage, delay, reserve, closing, cycles];

function over({ reading }) {
  return reading.overrun_ms > 0 ? `+${digits(reading.overrun_ms)}` : '';
}

function phase({ control, reading: { phase: at }, terms }) {
  if (at.type === 'byoyomi') return `Period ${at.period} of ${at.periods}`;
  if (at.type === 'canadian') return `${counted(at.cycles_left, terms.cycle)} to go`;
  return control.overtime ? TO_COME[control.overtime.type](control.overtime, terms) : '';
}

const TO_COME = {
  byoyomi: ({ periods, period_ms: ms }) => `then ${periods} × ${short(ms)}`,
  canadian: ({ cycles, period_ms: ms }, terms) => `then ${counted(cycles, terms.cycle)} in ${short(ms)}`,
};

function stage({ clock, control, reading: { phase: at }, terms }) {
  const stages = control.stages ?? [];
  if (stages.length === 0 || at.stage === undefined) return '';
  const name = `Stage ${at.stage + 1} of ${stages.length + 1}`;
  if (at.stage >= stages.length) return name;
  const until = stages.slice(0, at.stage + 1).reduce((sum, one) => sum + one.cycles, 0);
  return `${name} · ${counted(until - (clock.cycle_count ?? 0), terms.cycle)} to go`;
}

function delay({ control, reading }) {
  const { delay: rule } = control.stages?.[reading.phase.stage - 1] ?? {};
  const { type, delay_ms: ms } = rule ?? control.delay ?? {};
  if (!type) return '';
  if (reading.is_running && reading.delay_left_ms > 0) return `Delay ${digits(reading.delay_left_ms)}`;
  return `${type === 'bronstein' ? 'Gives back' : 'Delay'} ${short(ms)}`;
}

function reserve({ reading: { phase: at, reserve_ms: left } }) {
  if (at.type === 'reserve') return 'On the bank';
  return left > 0 ? `Bank ${short(left)}` : '';
}

function closing({ session, reading, terms }) {
  const { window_ms: window, extension_ms: extension } = session.soft_close ?? {};
  if (!window) return '';
  const isLate = reading.is_running && reading.shown_ms < window;
  return isLate ? `${terms.extend} → ${short(extension)}` : `Soft close: last ${short(window)}`;
}

function cycles({ session, clock, terms }) {
  const count = session.concurrency === 'simultaneous' ? 0 : (clock.cycle_count ?? 0);
  return count > 0 ? counted(count, terms.cycle) : '';
}

function digits(ms) {
  const { text, fraction } = clockText(ms);
  return text + fraction;
}

function short(ms) {
  return clockText(Math.ceil(ms / 1000) * 1000, 0).text;
}
