/** The names of the clocks of a session. Pure. */

import { SESSION } from '/sdk/clock.js';
import { clockOf } from './clocks.js';
import { presetOf } from './presets.js';

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 * @returns {string}
 */
export function nameOf(session, id) {
  if (id === SESSION) return titleOf(session);
  return clockOf(session, id).metadata?.name ?? session.metadata?.group_names?.[id] ?? id;
}

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @returns {string}
 */
export function titleOf(session) {
  return session.metadata?.title ?? presetOf(session.metadata?.preset)?.name ?? KINDS[session.sync_mode] ?? 'Clock';
}

const KINDS = {
  per_participant: 'Chess clock',
  per_group: 'Team clock',
  per_cycle: 'Turn clock',
  global: 'Countdown',
  count_up: 'Stopwatch',
};
