/** What can be asked of a session as it stands: which buttons there are, and what a press of a clock means. Pure. */

import { activeGroupId, activeId, startsInMs, statusAt } from '/sdk/clock.js';
import { isSimultaneous } from './clocks.js';

const ENDED = ['expired', 'completed', 'cancelled'];

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {number} nowMs
 * @returns {string[]} Commands, the foremost first.
 */
export function offersOf(session, nowMs) {
  const status = statusAt(session, nowMs);
  if (ENDED.includes(status)) return [];
  if (status === 'pending') return startsInMs(session, nowMs) === null ? ['start', 'start-together'] : ['reset'];
  if (status === 'paused') return ['resume', 'reset', 'complete', 'cancel'];
  const handOn = canHandOn(session) ? ['switch'] : [];
  const extend = session.soft_close ? ['extend'] : [];
  return [...extend, 'pause', ...handOn, 'reset', 'complete', 'cancel'];
}

/** @param {import('/sdk/types.js').Snapshot} session */
export function hasEnded(session) {
  return ENDED.includes(session.status);
}

/**
 * What a press of the clock `id` does, in words; null if nothing.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 * @param {number} nowMs
 */
export function pressOf(session, id, nowMs) {
  const status = statusAt(session, nowMs);
  // Where each clock is its own, pressing one must not move them all.
  if (isSimultaneous(session)) return null;
  if (status === 'pending') return startsInMs(session, nowMs) === null ? 'start' : null;
  if (status === 'paused') return 'resume';
  if (status !== 'running') return null;
  if (!isTurnTaking(session)) return 'pause';
  return isTurnOf(session, id) ? 'hand on' : null;
}

/**
 * Whether it is the turn of the clock `id`, running or not.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 */
export function isTurnOf(session, id) {
  if (!isTurnTaking(session)) return true;
  return id === (session.sync_mode === 'per_group' ? activeGroupId(session) : activeId(session));
}

/** Whether clocks take turns, so that the running one is handed on by pressing it. */
export function isTurnTaking(session) {
  return session.sync_mode.startsWith('per_') && !isSimultaneous(session);
}

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {number} nowMs
 */
export function resetLabel(session, nowMs) {
  return startsInMs(session, nowMs) === null ? 'Reset' : 'Do not start';
}

function canHandOn(session) {
  return isTurnTaking(session) || session.sync_mode === 'count_up';
}
