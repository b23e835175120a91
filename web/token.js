/**
 * The token of the page. It comes behind the `#` of a link, which no server logs. The page removes it from the address
 * at once, so a copied address reveals nothing. Each entry of the history stores its own, so reloading and going back
 * work. Only a token that may only watch this clock stays in the address.
 */

import { onlyWatches, principalOf } from './access.js';

// A token for the whole tenant is used for every clock in this window.
const STORAGE_KEY = 'synckairos.token';

/**
 * The token of this page; null if there is none. Removes it from the address if it must not be there.
 *
 * @param {string|null} sessionId
 * @returns {string|null}
 */
export function takeToken(sessionId) {
  const token = tokenOfEntry();
  if (!token) return withStorage((store) => store.getItem(STORAGE_KEY));
  const principal = principalOf(token);
  if (principal.sessions === null) withStorage((store) => store.setItem(STORAGE_KEY, token));
  if (!onlyWatches(principal, sessionId)) storeInEntry(token);
  return token;
}

/**
 * Reloads the page when only the part behind the `#` changes: the browser would not.
 *
 * @param {string|null} token The token the page runs with.
 */
export function watchAddress(token) {
  addEventListener('hashchange', () => {
    const now = tokenOfEntry();
    if (now && now !== token) location.reload();
    else if (token && !now) storeInEntry(token);
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

function storeInEntry(token) {
  const isInAddress = new URLSearchParams(location.hash.slice(1)).has('token');
  const address = isInAddress ? location.pathname + location.search : location.href;
  history.replaceState({ ...history.state, token }, '', address);
}

// A browser may forbid storage; then only the entry of the history has the token.
function withStorage(use) {
  try {
    return use(sessionStorage) ?? null;
  } catch {
    return null;
  }
}
