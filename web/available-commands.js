/** The commands available in the present state of a session, and the command of a press on a clock. Pure. */

import { activeGroupId, activeId, startsInMs, statusAt } from '/sdk/clock.js';
import { mayCommand } from './access.js';
import { isSimultaneous } from './clocks.js';

const ENDED = ['expired', 'completed', 'cancelled'];

/** @typedef {import('./access.js').Principal} Principal */

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {number} nowMs
 * @param {Principal} principal
 * @returns {string[]} Commands, the most important first; only those the caller may use.
 */
export function availableCommands(session, nowMs, principal) {
  return allCommands(session, nowMs).filter((command) => mayCommand(principal, session, command));
}

function allCommands(session, nowMs) {
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
 * The action of a press on the clock `id`; null if there is none.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 * @param {number} nowMs
 * @param {Principal} principal
 */
export function pressAction(session, id, nowMs, principal) {
  const press = pressActionOf(session, id, nowMs);
  return press && mayCommand(principal, session, commandOf(press)) ? press : null;
}

/**
 * The command of a press.
 *
 * @param {string} press An action of `pressAction`.
 */
export function commandOf(press) {
  return press === 'hand on' ? 'switch' : press;
}

function pressActionOf(session, id, nowMs) {
  const status = statusAt(session, nowMs);
  // In a simultaneous session a press on one clock must not affect all.
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

/** Whether clocks take turns, so that a press on the running one hands on. */
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
