/**
 * Server-sent events as a way to follow a session. It only listens.
 *
 * An `EventSource` would come back by itself. It is not let: when to come back,
 * and on which transport, is decided in one place for all of them.
 *
 * @import {Transport} from './websocket.js'
 */

import { streamUrl } from './address.js';
import { parsed } from './frame.js';

// An event source hands out only the events it was asked for by name.
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
      const { code = 1006, reason = '' } = parsed(data) ?? {};
      end(code, reason);
    });
    for (const type of TYPES) source.addEventListener(type, ({ data }) => isOver || take(data, listener));
    return { send: null, close };
  };
}

function take(data, listener) {
  const frame = parsed(data);
  if (frame) listener.frame(frame);
}
