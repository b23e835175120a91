/**
 * The transport over server-sent events. It only receives.
 *
 * An `EventSource` would reconnect by itself. This transport prevents that: the connection
 * decides when to reconnect, and on which transport.
 *
 * @import {Transport} from './websocket.js'
 */

import { streamUrl } from './address.js';
import { parseFrame } from './frame.js';

// An event source delivers only the types that it has listeners for.
const TYPES = ['STATE_SYNC', 'STATE_UPDATE', 'TIME_EXPIRED', 'TIME_WARNING', 'SESSION_DELETED', 'HEARTBEAT'];

/** @returns {Transport} */
export function serverSentEvents(EventSource = globalThis.EventSource) {
  return (address, listener) => {
    const source = new EventSource(streamUrl(address, 'events').href);
    let isOver = false;
    const close = () => {
      isOver = true;
      source.close();
    };
    const end = (code, reason) => {
      if (isOver) return;
      close();
      listener.closed(code, reason);
    };
    source.addEventListener('open', () => isOver || listener.opened());
    source.addEventListener('error', () => end(1006, ''));
    source.addEventListener('CLOSE', ({ data }) => {
      const { code = 1006, reason = '' } = parseFrame(data) ?? {};
      end(code, reason);
    });
    for (const type of TYPES) source.addEventListener(type, ({ data }) => isOver || take(data, listener));
    return { send: null, close };
  };
}

function take(data, listener) {
  const frame = parseFrame(data);
  if (frame) listener.frame(frame);
}
