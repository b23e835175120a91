/**
 * The WebSocket transport. All transports have the same interface, so the rest of the
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
 * @property {() => void} close Closes without a call of `closed`.
 *
 * @typedef {(address: Address, listener: Listener) => Stream} Transport
 */

import { streamUrl } from './address.js';
import { parseFrame } from './frame.js';

/** @returns {Transport} */
export function webSockets(WebSocket = globalThis.WebSocket) {
  return (address, listener) => {
    const socket = new WebSocket(urlOf(address), protocolsOf(address));
    const handlers = { open: listener.opened, message: onText(listener), close: onClose(listener) };
    for (const [name, handler] of Object.entries(handlers)) socket.addEventListener(name, handler);
    return { send: (frame) => socket.send(JSON.stringify(frame)), close: () => disconnect(socket, handlers) };
  };
}

/** @param {Address} address */
export function urlOf(address) {
  const url = streamUrl(address, 'ws');
  url.protocol = url.protocol.replace('http', 'ws');
  return url.href;
}

/**
 * The subprotocols to offer: that of the server, and the token, because a `WebSocket` cannot send headers.
 *
 * @param {Address} address
 */
export function protocolsOf({ token }) {
  return token ? ['synckairos.v1', `bearer.${token}`] : [];
}

function onText(listener) {
  return (message) => {
    const frame = parseFrame(message.data);
    if (frame) listener.frame(frame);
  };
}

function onClose(listener) {
  return (event) => listener.closed(event.code, event.reason);
}

function disconnect(socket, handlers) {
  for (const [name, handler] of Object.entries(handlers)) socket.removeEventListener(name, handler);
  socket.close(1000);
}
