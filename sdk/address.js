/**
 * The addresses of the streams of a session.
 *
 * @typedef {object} Address A session, and the position to resume from.
 * @property {string} base `https://host` or `http://host`
 * @property {string} sessionId
 * @property {string|null} last The newest position delivered.
 * @property {number} heartbeatMs
 * @property {string|null} token
 */

/**
 * The address of a stream. Only an `EventSource` has its token here, because it cannot send headers: proxies log
 * addresses.
 *
 * @param {Address} address
 * @param {'ws'|'events'} kind
 */
export function streamUrl({ base, sessionId, last, heartbeatMs, token }, kind) {
  const url = sessionUrl(base, sessionId, kind);
  url.searchParams.set('heartbeat_ms', String(heartbeatMs));
  if (last) url.searchParams.set('last', last);
  if (token && kind === 'events') url.searchParams.set('token', token);
  return url;
}

/**
 * @param {string} base
 * @param {string} sessionId
 * @param {string} kind
 */
export function sessionUrl(base, sessionId, kind) {
  return new URL(`/v1/sessions/${encodeURIComponent(sessionId)}/${kind}`, base);
}
