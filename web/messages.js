/** The texts of the page for every code, transport and end of a stream. Pure. */

import { minuteText } from './instants.js';

/** By code: first the client library's own, then the server's. @type {Record<string, string>} */
export const MESSAGES = {
  unreachable: 'The server cannot be reached. Is the network there?',
  unanswered: 'The server did not answer in time. Look at the clock before you try again.',
  unsent: 'The server is away.',
  closed: 'This clock is not followed any more.',
  no_token: 'This link has no access any more. Ask the organiser for a new one.',
  malformed: 'The server cannot read the request.',
  not_found: 'There is nothing at this address.',
  method_not_allowed: 'The server does not do that here.',
  not_acceptable: 'The server has no answer that this browser takes.',
  session_exists: 'There is already a clock of that name.',
  session_not_found: 'There is no such clock. It may have been deleted, or the link is incomplete.',
  session_ended: 'This clock has ended, so it takes no more commands.',
  not_running: 'The clock is not running.',
  not_paused: 'The clock is not paused.',
  already_started: 'The clock has already been started.',
  not_active: 'It is no longer their turn: somebody was quicker.',
  wrong_mode: 'This kind of clock cannot do that.',
  deadline_pending: 'The time is out; a last move may still be under way.',
  participant_expired: 'Their time is out. Give some time first.',
  stale_version: 'Somebody else was quicker. Look again and decide anew.',
  contended: 'Too many commands at once. Try again.',
  too_late: 'That came too late.',
  unauthenticated: 'This link has no access. Ask the organiser for a new one.',
  signature_invalid: 'The server does not take this command: its signature does not hold.',
  replayed: 'The server has had this command already.',
  token_expired: 'This link has ended. Ask the organiser for a new one.',
  forbidden: 'You may look at this clock, but not do that.',
  no_signing_key: 'This server cannot make links: it checks tokens, but has no key to sign them.',
  unknown_group: 'That team is not part of this clock any more.',
  unknown_participant: 'They are not part of this clock any more.',
  invalid: 'The server does not take these values.',
  invalid_time_control: 'These times do not make a clock that can be played.',
  too_large: 'That is more than the server takes at once.',
  unsupported_media_type: 'The server does not take requests of this kind.',
  idempotency_mismatch: 'The server has had another request under the same key. Try again.',
  rate_limited: 'That was a lot at once. Wait a moment.',
  too_many_connections: 'This clock is open in too many windows.',
  store_unavailable: 'The server cannot reach its memory right now. Try again in a moment.',
  ledger_unavailable: 'The server cannot reach its records right now. Try again in a moment.',
  outcome_unknown: 'The server cannot say whether that happened. Look at the clock before you try again.',
  restoring: 'This clock is being restored. Try again in a moment.',
  needs_repair: 'This server is too old to read this clock. Ask the organiser.',
  internal: 'Something is broken on the server. Its log says what.',
  draining: 'The server is restarting. Try again in a moment.',
};

/**
 * @param {any} problem
 * @returns {string}
 */
export function messageFor(problem) {
  const known = MESSAGES[problem.code];
  // The detail begins with a JSON pointer to the field.
  const detail = problem.body?.detail?.replace(/^\//, '');
  if (known && problem.code.startsWith('invalid') && detail) return `${known.replace(/\.$/, '')} (${detail}).`;
  return known ?? sentence(detail ?? problem.body?.title ?? 'Something went wrong, and the server did not say what');
}

/** For a press that had to wait, once the server applied it. */
export const PRESS_COUNTED = 'Your press was counted.';

// After these codes the command may have been applied or not.
const INDETERMINATE = ['unanswered', 'outcome_unknown'];

/**
 * While a press waits for the server.
 *
 * @param {import('/sdk/connection.js').State} state
 */
export function waitingMessage(state) {
  return state === 'live' ? 'The server has not answered yet. Your press is waiting.' : 'The server is away. Your press is waiting.';
}

/**
 * Once a press that had to wait was refused, or will not be answered.
 *
 * @param {any} problem
 */
export function pressMessage(problem) {
  if (INDETERMINATE.includes(problem.code)) return 'Nobody can say whether your press was counted. Look at the clock before you press again.';
  return `Your press was not counted. ${messageFor(problem)}`;
}

const TRANSPORTS = { automatic: 'Automatic', websocket: 'WebSocket', sse: 'SSE', poll: 'Long-poll' };

/** @param {string} name */
export function transportName(name) {
  return TRANSPORTS[name] ?? name;
}

const IN_SENTENCE = { websocket: 'the WebSocket', poll: 'long-poll' };

/** Why a transport was left. @type {Record<import('/sdk/attempt.js').Blame, string>} */
const BLAMES = {
  unopened: 'did not open',
  unheard: 'brought nothing (something on the way may hold it back)',
  silent: 'fell silent',
  cut: 'was cut again and again',
};

/**
 * Why the present transport is not the first choice; empty if it is.
 *
 * @param {string} present
 * @param {Record<string, import('/sdk/attempt.js').Blame>} objections The reason by better transport.
 */
export function fallbackMessage(present, objections) {
  const entries = Object.entries(objections);
  if (entries.length === 0) return '';
  const reasons = entries.map(([name, blame]) => `${nameInSentence(name)} ${BLAMES[blame]}`).join(', and ');
  return `${sentence(reasons)} So this window goes by ${nameInSentence(present)}, and tries the better way again now and then.`;
}

function nameInSentence(name) {
  return IN_SENTENCE[name] ?? transportName(name);
}

/** By close code: why a session is not followed any more. @type {Record<number, {title: string, text: string}>} */
const ENDS = {
  4500: { title: 'This link is not valid', text: 'The server refused it. Ask the organiser for a new one.' },
  4501: { title: 'This clock is not for you', text: 'The server knows you, but you may not look at this clock.' },
  4502: { title: 'There is no such clock', text: 'It may have ended long ago, or the link is incomplete.' },
  4503: { title: 'This clock was deleted', text: 'The organiser deleted this clock.' },
};

/**
 * @param {{code: number, reason: string}} end
 * @param {{token: string|null, principal: import('./access.js').Principal, isOperator: boolean}} access The page's own.
 * @param {number} nowMs
 */
export function endMessage({ code, reason }, { token, principal, isOperator }, nowMs) {
  if (code === 4500 && !token) return { title: 'This link has no access', text: 'Ask the organiser for a new one.' };
  if (code === 4500 && principal.endsAtMs !== null && principal.endsAtMs <= nowMs) return tokenEndMessage(principal, isOperator, nowMs);
  return ENDS[code] ?? { title: 'This clock cannot be followed', text: sentence(reason || `The server closed the line (${code})`) };
}

// An operator has no organiser to ask.
function tokenEndMessage(principal, isOperator, nowMs) {
  const until = minuteText(principal.endsAtMs, nowMs);
  if (isOperator) return { title: 'Your access has ended', text: `Your token worked until ${until}. Open the page with a new one.` };
  return { title: 'This link has ended', text: `It worked until ${until}. Ask the organiser for a new one.` };
}

function sentence(text) {
  const trimmed = text.trim();
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? '' : '.');
}
