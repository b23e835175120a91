/**
 * The transports of this platform, by name, best first. A browser has all of them; elsewhere the
 * caller may pass its own.
 *
 * @import {Transport} from './websocket.js'
 */

import { longPolls } from './poll.js';
import { serverSentEvents } from './sse.js';
import { webSockets } from './websocket.js';

/** @returns {Record<string, Transport>} */
export function transportsHere() {
  return {
    ...(globalThis.WebSocket && { websocket: webSockets() }),
    ...(globalThis.EventSource && { sse: serverSentEvents() }),
    poll: longPolls(),
  };
}
