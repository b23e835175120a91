/** The line under the digits: what this clock is doing. Pure. */

import { statusAt } from '/sdk/clock.js';
import { hasEnded, isTurnOf } from './offers.js';

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 * @param {import('/sdk/clock.js').Reading} reading
 * @param {number} nowMs
 */
export function noteFor(session, id, reading, nowMs) {
  const clock = session.participants.find((one) => one.participant_id === id);
  return [stateOf(session, id, reading, nowMs), phaseOf(reading), cyclesOf(clock)].filter(Boolean).join(' · ');
}

function stateOf(session, id, reading, nowMs) {
  if (session.sync_mode !== 'count_up' && reading.is_out) return 'Time is out';
  if (reading.is_running) return reading.delay_left_ms > 0 ? 'Running, delay first' : 'Running';
  return hasEnded(session) || isTurnOf(session, id) ? STATES[statusAt(session, nowMs)] : 'Waiting';
}

const STATES = {
  pending: 'Ready',
  running: 'Running',
  paused: 'Paused',
  expired: 'Ended',
  completed: 'Finished',
  cancelled: 'Called off',
};

function phaseOf({ phase, reserve_ms: reserve }) {
  if (phase.type === 'byoyomi') return `Period ${phase.period} of ${phase.periods}`;
  if (phase.type === 'canadian') return `${phase.cycles_left} to go in this block`;
  if (phase.type === 'reserve') return 'On the reserve';
  return reserve ? `${Math.ceil(reserve / 1000)} s in reserve` : '';
}

function cyclesOf(clock) {
  const count = clock?.cycle_count ?? 0;
  return count > 0 ? `${count} ${count === 1 ? 'turn' : 'turns'}` : '';
}
