/**
 * The WebSocket transport: a socket for each session. All transports have the same interface, so the rest of the
 * library does not know which one is in use.
 *
 * @import {Frame} from './types.js'
 * @import {Address} from './address.js'
 *
 * @typedef {object} Listener Called in this order, and not after `closed`.
 * @property {() => void} opened
 * @property {(frame: Frame) => void} frame
 * @property {(code: number, reason: string) => void} closed
 *
 * @typedef {object} Stream
 * @property {((frame: object) => void)|null} send null: this transport only receives.
 * @property {(isSuspect?: boolean) => void} close Closes without a call of `closed`. `isSuspect`: nothing was heard on
 *   it, so nothing else may rest on the same socket.
 * @property {(token: string) => void} [renew] Goes on with a new token.
 *
 * @typedef {(address: Address, listener: Listener) => Stream} Transport
 */

import { streamUrl } from './address.js';
import { parseFrame } from './frame.js';

/**
 * @param {typeof globalThis.WebSocket} [WebSocket]
 * @returns {Transport}
 */
export function webSockets(WebSocket = globalThis.WebSocket) {
  return (address, listener) => {
    const socket = new WebSocket(urlOf(address), protocolsOf(address));
    const stop = listen(socket, {
      open: () => listener.opened(),
      message: (event) => listener.frame(parseFrame(event.data)),
      close: (event) => listener.closed(event.code, event.reason),
    });
    return {
      send: (frame) => socket.send(JSON.stringify(frame)),
      close: () => {
        stop();
        socket.close(1000);
      },
      renew: (token) => whenOpen(socket, () => socket.send(JSON.stringify({ type: 'AUTH', token }))),
    };
  };
}

/** @param {Address} address */
export function urlOf(address) {
  return socketUrl(streamUrl(address, 'ws'));
}

/** @param {URL} url */
export function socketUrl(url) {
  const socket = new URL(url);
  socket.protocol = url.protocol.replace('http', 'ws');
  return socket.href;
}

/**
 * The subprotocols to offer: that of the server, and the token, because a `WebSocket` cannot send headers.
 *
 * @param {{token?: string|null}} address
 */
export function protocolsOf({ token }) {
  return token ? ['synckairos.v1', `bearer.${token}`] : [];
}

/**
 * @param {WebSocket} socket
 * @param {Record<string, (event: any) => void>} handlers
 * @returns {() => void} Removes them.
 */
export function listen(socket, handlers) {
  for (const [name, handler] of Object.entries(handlers)) socket.addEventListener(name, handler);
  return () => {
    for (const [name, handler] of Object.entries(handlers)) socket.removeEventListener(name, handler);
  };
}

/**
 * @param {WebSocket} socket
 * @param {() => void} run
 */
export function whenOpen(socket, run) {
  if (socket.readyState === 0) socket.addEventListener('open', run, { once: true });
  else if (socket.readyState === 1) run();
}
