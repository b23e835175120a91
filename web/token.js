/**
 * Where the page keeps its token. It comes behind the `#` of a link, where no server log sees it, and leaves the
 * address at once: whoever copies the address gives nothing away. Each entry of the window's history keeps its own, so
 * loading it again and going back work. Only a token that merely watches this one clock stays in the address.
 */

import { onlyWatches, principalOf } from './access.js';

// A token for the whole tenant serves every clock that is opened in this window.
const KEPT_AS = 'synckairos.token';

/**
 * The token of this page; null if there is none. Takes it out of the address where it must not stand.
 *
 * @param {string|null} sessionId
 * @returns {string|null}
 */
export function takeToken(sessionId) {
  const token = tokenOfEntry();
  if (!token) return stored((store) => store.getItem(KEPT_AS));
  const principal = principalOf(token);
  if (principal.sessions === null) stored((store) => store.setItem(KEPT_AS, token));
  if (!onlyWatches(principal, sessionId)) keepInEntry(token);
  return token;
}

/**
 * A link pasted over this one differs behind the `#` only, and the browser loads nothing: it is loaded here.
 *
 * @param {string|null} token The token the page runs with.
 */
export function watchAddress(token) {
  addEventListener('hashchange', () => {
    const now = tokenOfEntry();
    if (now && now !== token) location.reload();
    else if (token && !now) keepInEntry(token);
  });
}

/**
 * The address of a session with a token of its own, or with none.
 *
 * @param {string} sessionId
 * @param {string|null} token
 */
export function linkTo(sessionId, token) {
  const url = new URL('/', location.origin);
  url.searchParams.set('session', sessionId);
  if (token) url.hash = new URLSearchParams({ token }).toString();
  return url.href;
}

function tokenOfEntry() {
  return new URLSearchParams(location.hash.slice(1)).get('token') ?? history.state?.token ?? null;
}

function keepInEntry(token) {
  const isInAddress = new URLSearchParams(location.hash.slice(1)).has('token');
  const address = isInAddress ? location.pathname + location.search : location.href;
  history.replaceState({ ...history.state, token }, '', address);
}

// A browser may forbid it; then the entry of the history is all that remembers.
function stored(ask) {
  try {
    return ask(sessionStorage) ?? null;
  } catch {
    return null;
  }
}
