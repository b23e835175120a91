/**
 * The transports this platform has, by name, best first: a browser has all of
 * them; elsewhere one hands in what there is.
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
