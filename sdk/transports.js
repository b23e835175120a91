/**
 * The transports of this platform, by name, best first. Where there is no `WebSocket`, as in Node 20, the others remain.
 *
 * @import {Timers} from './timers.js'
 * @import {Transport} from './websocket.js'
 */

import { atMost } from './at-most.js';
import { longPolls } from './poll.js';
import { sharedSockets } from './shared-socket.js';
import { serverSentEvents } from './sse.js';
import { webSockets } from './websocket.js';

// Half of the connections that a browser has to a host.
const MAX_EVENT_STREAMS = 3;

/**
 * @param {object} [parts]
 * @param {typeof globalThis.fetch} [parts.fetch]
 * @param {Timers} [parts.timers]
 * @param {boolean} [parts.isShared] All sessions share one WebSocket, and leave connections for commands.
 * @returns {Record<string, Transport>}
 */
export function transportsHere({ fetch, timers, isShared = false } = {}) {
  return {
    ...(globalThis.WebSocket && { websocket: isShared ? sharedSockets() : webSockets() }),
    sse: isShared ? atMost(MAX_EVENT_STREAMS, serverSentEvents({ fetch })) : serverSentEvents({ fetch }),
    poll: longPolls({ fetch, timers }),
  };
}

/**
 * The transports of a connection, and which of them it uses. A transport of the caller has no alternatives.
 *
 * @param {string|Transport} transport
 * @param {Record<string, Transport>} [transports]
 */
export function transportsFor(transport, transports = transportsHere()) {
  if (typeof transport === 'function') return { transports: { own: transport }, choice: 'own' };
  return { transports, choice: transport };
}
