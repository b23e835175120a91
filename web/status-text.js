/** The status line under the digits. Pure. */

import { statusAt } from '/sdk/clock.js';
import { clockOf, isSimultaneous } from './clocks.js';
import { hasEnded, isTurnOf } from './available-commands.js';
import { pausedNote } from './pause-reasons.js';

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 * @param {import('/sdk/clock.js').Reading} reading
 * @param {number} nowMs
 */
export function statusTextFor(session, id, reading, nowMs) {
  if (session.sync_mode !== 'count_up' && reading.is_out) return reading.overrun_ms > 0 ? 'Over time' : 'Time is out';
  if (reading.is_running) return reading.delay_left_ms > 0 ? 'Running, delay first' : 'Running';
  if (isSimultaneous(session)) return ownNote(clockOf(session, id));
  return hasEnded(session) || isTurnOf(session, id) ? STATES[statusAt(session, nowMs)] : 'Waiting';
}

function ownNote({ status, pause_reasons: reasons = [] }) {
  return status === 'paused' ? pausedNote(reasons) : STATES[status];
}

const STATES = {
  pending: 'Ready',
  running: 'Running',
  paused: 'Paused',
  expired: 'Ended',
  completed: 'Finished',
  cancelled: 'Called off',
};
