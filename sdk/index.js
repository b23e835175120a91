/** The exports of the library: the client of an app, and the parts it is made of. */

export { SyncKairosClient } from './client.js';
export { SyncKairosError } from './problem.js';
export { Connection } from './connection.js';
export { AUTOMATIC } from './fallback.js';
export { webSockets } from './websocket.js';
export { sharedSockets } from './shared-socket.js';
export { serverSentEvents } from './sse.js';
export { longPolls } from './poll.js';
export { ClockSync } from './sync.js';
export { Rest } from './rest.js';
export { SESSION, activeGroupId, activeId, clockIds, read, shownMs, startsInMs, statusAt } from './clock.js';
export { edgesBetween } from './edges.js';
export { clockText, spokenText } from './format.js';

/**
 * @typedef {import('./clock.js').Reading} Reading
 * @typedef {import('./connection.js').State} State
 * @typedef {import('./events.js').Events} Events
 * @typedef {import('./events.js').TimeSync} TimeSync
 * @typedef {import('./options.js').Options} Options
 * @typedef {import('./problem.js').ProblemDocument} ProblemDocument
 * @typedef {import('./websocket.js').Transport} Transport
 */
export * from './types.js';
