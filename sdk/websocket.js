/**
 * The WebSocket as a way to follow a session. Other transports answer to the
 * same promise, so the rest of the library does not know which one it is on.
 *
 * @import {Frame} from './types.js'
 * @import {Address} from './address.js'
 *
 * @typedef {object} Listener Told in this order, and nothing after `closed`.
 * @property {() => void} opened
 * @property {(frame: Frame) => void} frame
 * @property {(code: number, reason: string) => void} closed
 *
 * @typedef {object} Stream
 * @property {((frame: object) => void)|null} send null: this transport only listens.
 * @property {() => void} close `closed` is not told of it.
 *
 * @typedef {(address: Address, listener: Listener) => Stream} Transport
 */

import { streamUrl } from './address.js';
import { parsed } from './frame.js';

/** @returns {Transport} */
export function webSockets(WebSocket = globalThis.WebSocket) {
  return (address, listener) => {
    const socket = new WebSocket(urlOf(address), protocolsOf(address));
    const told = { open: listener.opened, message: onText(listener), close: onClose(listener) };
    for (const [name, tell] of Object.entries(told)) socket.addEventListener(name, tell);
    return { send: (frame) => socket.send(JSON.stringify(frame)), close: () => hangUp(socket, told) };
  };
}

/** @param {Address} address */
export function urlOf(address) {
  const url = streamUrl(address, 'ws');
  url.protocol = url.protocol.replace('http', 'ws');
  return url.href;
}

/**
 * What the server is offered: its subprotocol, and the token beside it, since a `WebSocket` can carry no header.
 *
 * @param {Address} address
 */
export function protocolsOf({ token }) {
  return token ? ['synckairos.v1', `bearer.${token}`] : [];
}

function onText(listener) {
  return (message) => {
    const frame = parsed(message.data);
    if (frame) listener.frame(frame);
  };
}

function onClose(listener) {
  return (event) => listener.closed(event.code, event.reason);
}

function hangUp(socket, told) {
  for (const [name, tell] of Object.entries(told)) socket.removeEventListener(name, tell);
  socket.close(1000);
}
