/** Finding the clock that an id names, and what commands call it. Pure. */

import { SESSION, activeId } from '/sdk/clock.js';

/**
 * A participant or a group; the session itself where it has but one clock.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 * @returns {any}
 */
export function clockOf(session, id) {
  if (id === SESSION) return session;
  const clocks = session.sync_mode === 'per_group' ? session.groups : session.participants;
  return clocks.find((one) => idOf(one) === id) ?? session;
}

/**
 * Which clock a command is about, as its fields say it.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 */
export function ownerOf(session, id) {
  if (session.sync_mode === 'per_group') return { group_id: id };
  // Of a turn in a `per_cycle` session the cycle's own clock is meant; of who waits, the reserve.
  if (session.sync_mode === 'per_cycle') return id === activeId(session) ? {} : { participant_id: id };
  return id === SESSION ? {} : { participant_id: id };
}

/**
 * Who of a group there is, in turn order.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} groupId
 */
export function membersOf(session, groupId) {
  return session.sync_mode === 'per_group' ? session.participants.filter((one) => one.group_id === groupId) : [];
}

/**
 * All that a clock was ever granted, used and left: of that the bar shows what is left.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 */
export function fullMs(session, id) {
  if (session.sync_mode === 'per_cycle') return session.time_per_cycle_ms ?? 0;
  if (session.sync_mode === 'count_up') return session.max_time_ms ?? 0;
  const clock = clockOf(session, id);
  return (clock.total_time_ms ?? 0) + (clock.time_used_ms ?? 0);
}

/** Whether all its clocks run at once. @param {import('/sdk/types.js').Snapshot} session */
export function isSimultaneous(session) {
  return session.concurrency === 'simultaneous';
}

function idOf(clock) {
  return clock.participant_id ?? clock.group_id;
}
