/** The exports of the library: following a session, its clocks, and cluster time. */

export { Connection } from './connection.js';
export { AUTOMATIC } from './fallback.js';
export { webSockets } from './websocket.js';
export { serverSentEvents } from './sse.js';
export { longPolls } from './poll.js';
export { ClockSync } from './sync.js';
export { Rest } from './rest.js';
export { SyncKairosError } from './problem.js';
export { activeGroupId, activeId, clockIds, read, shownMs, startsInMs, statusAt } from './clock.js';
export { edgesBetween } from './edges.js';
export { clockText, spokenText } from './format.js';
