/** The rights of the caller's token, so that the page offers nothing else. The server decides; this only hides. Pure. */

import { activeId } from '/sdk/clock.js';
import { clockOf, isSimultaneous } from './clocks.js';

/**
 * @typedef {object} Principal The caller that the page's token proves.
 * @property {'viewer'|'participant'|'operator'|'admin'} role
 * @property {string|null} participantId
 * @property {string[]|null} sessions The sessions the token is limited to; null: all of the tenant's.
 * @property {number|null} endsAtMs Unix ms; null: never.
 */

// A server without a key listens on loopback only, and every caller is an operator.
const OPEN_MODE = /** @type {Principal} */ ({ role: 'operator', participantId: null, sessions: null, endsAtMs: null });

// The server refuses an unreadable token anyway.
const UNREADABLE = /** @type {Principal} */ ({ ...OPEN_MODE, role: 'viewer' });

/**
 * @param {string|null} token
 * @returns {Principal}
 */
export function principalOf(token) {
  if (!token) return OPEN_MODE;
  const claims = claimsOf(token);
  if (!claims) return UNREADABLE;
  const { role = 'viewer', participant_id: participantId = null, sessions = null, exp } = claims;
  return { role, participantId, sessions, endsAtMs: Number.isFinite(exp) ? exp * 1000 : null };
}

/** @param {Principal} principal */
export function isOperator({ role }) {
  return role === 'operator' || role === 'admin';
}

/**
 * Whether the token only lets its owner watch this session, so that it may be in an address.
 *
 * @param {Principal} principal
 * @param {string|null} sessionId
 */
export function onlyWatches({ role, sessions }, sessionId) {
  return role === 'viewer' && sessions?.length === 1 && sessions[0] === sessionId;
}

/**
 * Whether the caller may give `command` with `fields` to the session as it stands.
 *
 * @param {Principal} principal
 * @param {import('/sdk/types.js').Snapshot} session
 * @param {string} command
 * @param {Record<string, any>} [fields]
 */
export function mayCommand(principal, session, command, fields = {}) {
  if (isOperator(principal)) return true;
  const { role, participantId: own } = principal;
  return role === 'participant' && own !== null && Boolean(PARTICIPANT_RIGHTS[command]?.(session, own, fields));
}

// The rights of a participant: to hand on while it is active, and to control its own clock in a simultaneous session.
const PARTICIPANT_RIGHTS = {
  switch: (session, own, fields) => activeId(session) === own && mayName(session, own, fields),
  pause: (session, own, fields) => ownsClock(session, own, fields) && session.rights?.self_pause !== false,
  // Only a pause that the participant may have requested itself.
  resume: (session, own, fields) => ownsClock(session, own, fields) && reasonsOf(session, own).every((reason) => reason === 'requested'),
  complete: (session, own, fields) => ownsClock(session, own, fields) && session.rights?.self_complete !== false,
};

// Handing on to the next in turn needs no name; another one needs the right to choose.
function mayName(session, own, { next_participant_id: next, next_group_id: group }) {
  if (next === undefined && group === undefined) return true;
  return session.rights?.hand_on === 'any' && next !== own;
}

function ownsClock(session, own, { participant_id: id }) {
  return isSimultaneous(session) && id === own;
}

function reasonsOf(session, id) {
  return clockOf(session, id).pause_reasons ?? [];
}

function claimsOf(token) {
  try {
    const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === 'object' ? claims : null;
  } catch {
    return null;
  }
}
