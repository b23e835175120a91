/** The commands available for one clock: the small buttons under it. Pure. */

import { statusAt } from '/sdk/clock.js';
import { mayCommand } from './access.js';
import { clockOf, fullMs, isSimultaneous, ownerOf } from './clocks.js';
import { hasEnded, isTurnOf, isTurnTaking } from './available-commands.js';

const ENDED = ['expired', 'completed', 'cancelled'];

/**
 * @typedef {object} ClockOffer
 * @property {string} key
 * @property {string} text
 * @property {string} label For screen readers, with the clock's name in place of `%`.
 * @property {string} [sure] The text that asks for a second press, if the command cannot be undone.
 * @property {string} command
 * @property {object} fields
 */

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} id
 * @param {number} nowMs
 * @param {import('./access.js').Principal} principal
 * @returns {ClockOffer[]} Only those the caller may use.
 */
export function availableClockCommands(session, id, nowMs, principal) {
  if (hasEnded(session) || session.sync_mode === 'count_up') return [];
  const own = isSimultaneous(session) ? ownOffers(session, id) : turnOffers(session, id, nowMs);
  const [take, give] = stepsOf(session, id);
  const offers = [take, ...own, ...removal(session, id), give].filter(Boolean);
  return offers.filter(({ command, fields }) => mayCommand(principal, session, command, fields));
}

function stepsOf(session, id) {
  const clock = clockOf(session, id);
  const hasNone = session.sync_mode === 'per_cycle' && !isTurnOf(session, id) && !clock.total_time_ms;
  if (hasNone || clock.status === 'completed') return [];
  const { ms, text, words } = stepFor(fullMs(session, id));
  const adjust = (/** @type {number} */ add) => ({ command: 'adjust', fields: { ...ownerOf(session, id), add_ms: add } });
  return [
    { key: `-${ms}`, text: `− ${text}`, label: `Take ${words} from %`, ...adjust(-ms) },
    { key: `${ms}`, text: `+ ${text}`, label: `Give ${words} to %`, ...adjust(ms) },
  ];
}

// The step depends on the total time.
function stepFor(full) {
  if (full >= 30 * 60_000) return { ms: 300_000, text: '5 min', words: '5 minutes' };
  if (full >= 10 * 60_000) return { ms: 60_000, text: '1 min', words: '1 minute' };
  return full >= 60_000 ? { ms: 15_000, text: '15 s', words: '15 seconds' } : { ms: 5000, text: '5 s', words: '5 seconds' };
}

function ownOffers(session, id) {
  const { status } = clockOf(session, id);
  if (session.status === 'pending' || ENDED.includes(status)) return [];
  const fields = ownerOf(session, id);
  const first = status === 'paused' && session.status !== 'paused' ? 'resume' : 'pause';
  return [
    status === 'paused' && first === 'pause' ? null : { key: first, command: first, fields, ...PAUSES[first] },
    { key: 'complete', command: 'complete', fields, text: 'Finish', label: 'Finish %', sure: 'Sure?' },
  ];
}

const PAUSES = { pause: { text: 'Pause', label: 'Pause %' }, resume: { text: 'Resume', label: 'Resume %' } };

// With two clocks there is no choice of the next.
function turnOffers(session, id, nowMs) {
  const clocks = session.sync_mode === 'per_group' ? session.groups : session.participants;
  const isOpen = statusAt(session, nowMs) === 'running' && isTurnTaking(session) && clocks.length > 2;
  if (!isOpen || isTurnOf(session, id) || (clockOf(session, id).has_expired && !continues(session))) return [];
  const next = session.sync_mode === 'per_group' ? { next_group_id: id } : { next_participant_id: id };
  return [{ key: 'next', text: 'Go here', label: 'Hand on to %', command: 'switch', fields: next }];
}

function continues(session) {
  return session.action_on_timeout?.type === 'continue';
}

function removal(session, id) {
  const canGo = ['per_participant', 'per_cycle'].includes(session.sync_mode) && !session.time_control?.hourglass;
  if (!canGo || session.participants.length <= 2) return [];
  const fields = { participant_id: id };
  return [{ key: 'remove', text: 'Remove', label: 'Remove %', sure: 'Sure?', command: 'remove_participant', fields }];
}
