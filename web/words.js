/** What went wrong, as one would say it to a friend. Pure. */

const BY_CODE = {
  unreachable: 'The server cannot be reached. Is the network there?',
  unanswered: 'The server did not answer in time. Look at the clock before you try again.',
  closed: 'This clock is not followed any more.',
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
  unauthenticated: 'The server wants to know who you are, and this link does not say.',
  token_expired: 'This link is no longer valid. Ask for a new one.',
  forbidden: 'You may look at this clock, but not do that.',
  invalid: 'The server does not take these values.',
  invalid_time_control: 'These times do not make a clock that can be played.',
  rate_limited: 'That was a lot at once. Wait a moment.',
  too_many_connections: 'This clock is open in too many windows.',
  store_unavailable: 'The server cannot reach its memory right now. Try again in a moment.',
  ledger_unavailable: 'The server cannot reach its records right now. Try again in a moment.',
  outcome_unknown: 'The server cannot say whether that happened. Look at the clock before you try again.',
  restoring: 'This clock is being restored. Try again in a moment.',
  draining: 'The server is restarting. Try again in a moment.',
};

/**
 * @param {any} problem
 * @returns {string}
 */
export function wordsFor(problem) {
  const known = BY_CODE[problem.code];
  const detail = problem.body?.errors?.[0]?.detail ?? problem.body?.detail;
  if (known && problem.code.startsWith('invalid') && detail) return `${known} ${sentence(detail)}`;
  return known ?? sentence(detail ?? problem.body?.title ?? 'Something went wrong, and the server did not say what');
}

const TRANSPORTS = { automatic: 'Automatic', websocket: 'WebSocket', sse: 'SSE', poll: 'Long-poll' };

/** @param {string} name */
export function nameOfTransport(name) {
  return TRANSPORTS[name] ?? name;
}

const AS_TOLD = { websocket: 'the WebSocket', poll: 'long-poll' };

/** What speaks against a transport. @type {Record<import('/sdk/line.js').Blame, string>} */
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
 * @param {Record<string, import('/sdk/line.js').Blame>} objections to those that would be better
 */
export function wordsForFallback(present, objections) {
  const told = Object.entries(objections);
  if (told.length === 0) return '';
  const reasons = told.map(([name, blame]) => `${asTold(name)} ${BLAMES[blame]}`).join(', and ');
  return `${sentence(reasons)} So this window goes by ${asTold(present)}, and tries the better way again now and then.`;
}

function asTold(name) {
  return AS_TOLD[name] ?? nameOfTransport(name);
}

/** Why a session is not followed any more. @type {Record<number, {title: string, text: string}>} */
const ENDS = {
  4500: { title: 'This link is no longer valid', text: 'What it says about who you are was refused, or is too old. Ask for a new link.' },
  4501: { title: 'This clock is not for you', text: 'The server knows you, but you may not look at this clock.' },
  4502: { title: 'There is no such clock', text: 'It may have ended long ago, or the link is incomplete.' },
  4503: { title: 'This clock was deleted', text: 'Somebody who may do so deleted it. It will not come back.' },
};

/** @param {{code: number, reason: string}} end */
export function wordsForEnd({ code, reason }) {
  return ENDS[code] ?? { title: 'This clock cannot be followed', text: sentence(reason || `The server closed the line (${code})`) };
}

function sentence(text) {
  const told = text.trim();
  return told.charAt(0).toUpperCase() + told.slice(1) + (/[.!?]$/.test(told) ? '' : '.');
}
