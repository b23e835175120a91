/** The form that adds a participant to a session. */

import { mayCommand } from './access.js';
import { byId } from './dom.js';
import { hasEnded } from './available-commands.js';
import { presetOf } from './presets.js';

/** @param {(name: string) => void} request */
export function openJoinForm(request) {
  byId('join').addEventListener('submit', (event) => {
    event.preventDefault();
    const name = byId('join-name').value.trim();
    if (!name) return;
    byId('join-name').value = '';
    request(name);
  });
}

/**
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {import('./access.js').Principal} principal
 */
export function describeJoinForm(session, principal) {
  byId('join').hidden = hasEnded(session) || !canGrow(session) || !mayCommand(principal, session, 'add_participant');
  const word = presetOf(session.metadata?.preset)?.people?.word ?? 'Participant';
  byId('join-name').placeholder = `One more ${word.toLowerCase()}`;
}

// A game of two stays one of two; with more participants, or if all run at once, one more may join.
function canGrow(session) {
  const seats = session.participants.length;
  const hasSeats = session.sync_mode === 'per_cycle' || session.sync_mode === 'per_participant';
  return hasSeats && (seats > 2 || session.concurrency === 'simultaneous' || session.sync_mode === 'per_cycle');
}

/**
 * The fields of a new participant, with the median time of the others.
 *
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} name
 */
export function newParticipant(session, name) {
  const granted = session.participants.map((one) => (one.total_time_ms ?? 0) + (one.time_used_ms ?? 0)).sort((a, b) => a - b);
  const usual = session.sync_mode === 'per_participant' ? { total_time_ms: granted[Math.floor(granted.length / 2)] } : {};
  const taken = new Set(session.participants.map((one) => one.participant_id));
  let at = session.participants.length + 1;
  while (taken.has(`p${at}`)) at += 1;
  return { participant_id: `p${at}`, ...usual, metadata: { name } };
}
