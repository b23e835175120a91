/** What can be asked of a session as it stands: which buttons there are, and what a press of a clock means. Pure. */

import { activeGroupId, activeId, startsInMs, statusAt } from '/sdk/clock.js';
import { mayCommand } from './access.js';
import { isSimultaneous } from './clocks.js';

const ENDED = ['expired', 'completed', 'cancelled'];

/** @typedef {import('./access.js').Principal} Principal */

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {number} nowMs
 * @param {Principal} principal
 * @returns {string[]} Commands, the foremost first; only those the caller may give.
 */
export function availableCommands(session, nowMs, principal) {
  return allOffersOf(session, nowMs).filter((command) => mayCommand(principal, session, command));
}

function allOffersOf(session, nowMs) {
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
 * @param {Principal} principal
 */
export function pressAction(session, id, nowMs, principal) {
  const press = meaningOf(session, id, nowMs);
  return press && mayCommand(principal, session, commandOf(press)) ? press : null;
}

/**
 * The command that a press gives.
 *
 * @param {string} press As `pressAction` says it.
 */
export function commandOf(press) {
  return press === 'hand on' ? 'switch' : press;
}

function meaningOf(session, id, nowMs) {
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
