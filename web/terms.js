/** The names of commands in a session: a bid, a lap, the next item. Pure. */

import { presetOf } from './presets.js';

const BY_MODE = { count_up: { switch: 'Lap' } };
const COMMON = { switch: 'Hand on', extend: 'Extend', cycle: 'turn' };

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @returns {{switch: string, extend: string, cycle: string}}
 */
export function termsOf(session) {
  return { ...COMMON, ...BY_MODE[session.sync_mode], ...presetOf(session.metadata?.preset)?.terms };
}

/**
 * `1 move`, `3 moves`.
 *
 * @param {number} count
 * @param {string} word
 */
export function counted(count, word) {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
