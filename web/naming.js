/** What the clocks of a session are called. Pure. */

import { SESSION } from '/sdk/clock.js';

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 */
export function nameOf(session, id) {
  if (id === SESSION) return titleOf(session);
  const clocks = [...session.participants, ...(session.groups ?? [])];
  const clock = clocks.find((one) => one.participant_id === id || one.group_id === id);
  return clock?.metadata?.name ?? id;
}

/** @param {import('/sdk/types.js').Snapshot} session */
export function titleOf(session) {
  return /** @type {string} */ (session.metadata?.title) ?? KINDS[session.sync_mode] ?? 'Clock';
}

const KINDS = {
  per_participant: 'Chess clock',
  per_group: 'Team clock',
  per_cycle: 'Turn clock',
  global: 'Countdown',
  count_up: 'Stopwatch',
};
