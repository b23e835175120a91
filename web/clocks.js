/** The clock of an id, and its fields in commands. Pure. */

import { SESSION, activeId } from '/sdk/clock.js';

/**
 * A participant or a group; the session itself if it has only one clock.
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
 * The fields of a command that name a clock.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 */
export function ownerOf(session, id) {
  if (session.sync_mode === 'per_group') return { group_id: id };
  // In a `per_cycle` session no name means the cycle's own clock; a name means the reserve of one that waits.
  if (session.sync_mode === 'per_cycle') return id === activeId(session) ? {} : { participant_id: id };
  return id === SESSION ? {} : { participant_id: id };
}

/**
 * The members of a group, in turn order.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} groupId
 */
export function membersOf(session, groupId) {
  return session.sync_mode === 'per_group' ? session.participants.filter((one) => one.group_id === groupId) : [];
}

/**
 * All the time a clock ever had, used and left; the bar shows the remaining part of it.
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
