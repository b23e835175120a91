/**
 * The addresses of the streams of a session.
 *
 * @typedef {object} Address A session, and the position to resume from.
 * @property {string} base `https://host` or `http://host`
 * @property {string} sessionId
 * @property {string|null} last The newest position delivered.
 * @property {number} heartbeatMs
 * @property {string|null} token It stands in no address: proxies log them.
 */

/**
 * The address of the stream of one session.
 *
 * @param {Address} address
 * @param {'ws'|'events'} kind
 */
export function streamUrl({ base, sessionId, last, heartbeatMs }, kind) {
  const url = sessionUrl(base, sessionId, kind);
  url.searchParams.set('heartbeat_ms', String(heartbeatMs));
  if (last) url.searchParams.set('last', last);
  return url;
}

/**
 * The address of the WebSocket of many sessions.
 *
 * @param {{base: string, heartbeatMs: number}} address
 */
export function sharedUrl({ base, heartbeatMs }) {
  const url = new URL('/v1/ws', base);
  url.searchParams.set('heartbeat_ms', String(heartbeatMs));
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

/**
 * The header that carries a token.
 *
 * @param {string|null|undefined} token
 * @returns {Record<string, string>}
 */
export function authorization(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}
