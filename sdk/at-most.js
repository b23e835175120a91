/**
 * A transport of which only so many streams are open at once. Over HTTP/1.1 a browser has six connections to a host;
 * if streams held them all, no command would get through.
 *
 * @import {Listener, Stream, Transport} from './websocket.js'
 */

/**
 * A stream too many does not open, so its session goes by the next transport.
 *
 * @param {number} max
 * @param {Transport} transport
 * @returns {Transport}
 */
export function atMost(max, transport) {
  /** @type {Set<Listener>} */
  const open = new Set();
  return (address, listener) => {
    if (open.size >= max) return refused(listener);
    open.add(listener);
    const stream = transport(address, {
      opened: () => listener.opened(),
      frame: (frame) => listener.frame(frame),
      closed: (code, reason) => {
        open.delete(listener);
        listener.closed(code, reason);
      },
    });
    return {
      send: stream.send,
      close: (isSuspect) => {
        open.delete(listener);
        stream.close(isSuspect);
      },
      renew: (token) => stream.renew?.(token),
    };
  };
}

/**
 * @param {Listener} listener
 * @returns {Stream}
 */
function refused(listener) {
  let isOver = false;
  queueMicrotask(() => isOver || listener.closed(1006, 'too many streams'));
  return { send: null, close: () => (isOver = true) };
}
