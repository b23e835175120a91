/**
 * The WebSocket as a way to follow a session. Other transports answer to the
 * same promise, so the rest of the library does not know which one it is on.
 *
 * @import {Frame} from './types.js'
 *
 * @typedef {object} Address What to follow, and from where on.
 * @property {string} base `https://host` or `http://host`
 * @property {string} sessionId
 * @property {string|null} last The newest position held.
 * @property {number} heartbeatMs
 * @property {string|null} token
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

/** @returns {Transport} */
export function webSockets(WebSocket = globalThis.WebSocket) {
  return (address, listener) => {
    const socket = new WebSocket(urlOf(address));
    const told = { open: listener.opened, message: onText(listener), close: onClose(listener) };
    for (const [name, tell] of Object.entries(told)) socket.addEventListener(name, tell);
    return { send: (frame) => socket.send(JSON.stringify(frame)), close: () => hangUp(socket, told) };
  };
}

/** @param {Address} address */
export function urlOf({ base, sessionId, last, heartbeatMs, token }) {
  const url = new URL(`/v1/sessions/${encodeURIComponent(sessionId)}/ws`, base);
  url.protocol = url.protocol.replace('http', 'ws');
  url.searchParams.set('heartbeat_ms', String(heartbeatMs));
  if (last) url.searchParams.set('last', last);
  if (token) url.searchParams.set('token', token);
  return url.href;
}

function onText(listener) {
  return (message) => {
    const frame = parsed(message.data);
    if (frame) listener.frame(frame);
  };
}

// A proxy that mangles one frame is no reason to lose the stream; the position shows what was missed.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function onClose(listener) {
  return (event) => listener.closed(event.code, event.reason);
}

function hangUp(socket, told) {
  for (const [name, tell] of Object.entries(told)) socket.removeEventListener(name, tell);
  socket.close(1000);
}
