/**
 * Where a stream of a session is to be had.
 *
 * @typedef {object} Address What to follow, and from where on.
 * @property {string} base `https://host` or `http://host`
 * @property {string} sessionId
 * @property {string|null} last The newest position told of.
 * @property {number} heartbeatMs
 * @property {string|null} token
 */

/**
 * The address of a stream. An `EventSource` can carry no header, so its token stands here, and only its:
 * addresses are written down on the way.
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
