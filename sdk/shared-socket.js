/**
 * One WebSocket for many sessions. For each session it is a transport like the others: a stream opens with SUBSCRIBE and
 * ends with UNSUBSCRIBE.
 *
 * @import {Address} from './address.js'
 * @import {Frame} from './types.js'
 * @import {Listener, Stream, Transport} from './websocket.js'
 *
 * @typedef {object} Channel The stream of one session.
 * @property {string} sessionId
 * @property {Address} address
 * @property {Listener} listener
 * @property {string} id Of its SUBSCRIBE.
 * @property {boolean} isPlaced The server has answered it. Frames before that belong to an earlier stream.
 */

import { sharedUrl } from './address.js';
import { bodyOf, parseFrame } from './frame.js';
import { listen, protocolsOf, socketUrl, whenOpen } from './websocket.js';

// The server follows no more sessions on one socket.
const MAX_CHANNELS = 1000;

// The close code of a stream for each refusal of a SUBSCRIBE; any other is temporary.
/** @type {Record<string, number>} */
const CLOSE_CODES = {
  session_not_found: 4502,
  forbidden: 4501,
  unauthenticated: 4500,
  token_expired: 4500,
  too_many_connections: 4008,
};
const TEMPORARY_CODE = 4004;

/**
 * All streams of the returned transport share a socket, so it is for one server and one caller.
 *
 * @param {typeof globalThis.WebSocket} [WebSocket]
 * @returns {Transport}
 */
export function sharedSockets(WebSocket = globalThis.WebSocket) {
  /** @type {SharedSocket|null} */
  let socket = null;
  return (address, listener) => {
    if (!socket?.isJoinable) socket = new SharedSocket(WebSocket, address);
    return socket.join(address, listener);
  };
}

class SharedSocket {
  #isEnded = false;
  #isSuspect = false;
  #joined = 0;
  /** @type {Map<string, Channel>} */
  #channels = new Map();

  /**
   * @param {typeof globalThis.WebSocket} WebSocket
   * @param {Address} address
   */
  constructor(WebSocket, address) {
    this.token = address.token;
    this.socket = new WebSocket(socketUrl(sharedUrl(address)), protocolsOf(address));
    this.stop = listen(this.socket, {
      open: () => this.#opened(),
      message: (event) => this.#received(parseFrame(event.data)),
      close: (event) => this.#closed(event.code, event.reason),
    });
  }

  /** Whether another session may be followed on it. */
  get isJoinable() {
    return !this.#isEnded && !this.#isSuspect && this.#channels.size < MAX_CHANNELS;
  }

  /**
   * @param {Address} address
   * @param {Listener} listener
   * @returns {Stream}
   */
  join(address, listener) {
    const { sessionId } = address;
    this.#joined += 1;
    const channel = { sessionId, address, listener, id: `subscribe-${this.#joined}`, isPlaced: false };
    this.#channels.set(sessionId, channel);
    if (this.socket.readyState === 1) this.#subscribe(channel);
    return {
      send: (frame) => this.#send({ ...frame, session_id: sessionId }),
      close: (isSuspect) => this.#leave(channel, isSuspect),
      renew: (token) => this.#renew(token),
    };
  }

  /**
   * @param {Channel} channel
   * @param {boolean} [isSuspect]
   */
  #leave(channel, isSuspect = false) {
    this.#isSuspect ||= isSuspect;
    if (!this.#remove(channel)) return;
    this.#send({ type: 'UNSUBSCRIBE', session_id: channel.sessionId });
    // Whoever comes back at once, as React mounts twice, finds the socket open.
    queueMicrotask(() => this.#closeIfUnused());
  }

  /** @param {Channel} channel */
  #remove(channel) {
    return this.#channels.get(channel.sessionId) === channel && this.#channels.delete(channel.sessionId);
  }

  #closeIfUnused() {
    if (this.#isEnded || this.#channels.size > 0) return;
    this.#isEnded = true;
    this.stop();
    this.socket.close(1000);
  }

  /** @param {string} token */
  #renew(token) {
    if (token === this.token) return;
    this.token = token;
    whenOpen(this.socket, () => this.#send({ type: 'AUTH', token }));
  }

  #opened() {
    for (const channel of this.#channels.values()) this.#subscribe(channel);
  }

  /** @param {Channel} channel */
  #subscribe({ id, sessionId, address }) {
    this.#send({ type: 'SUBSCRIBE', id, session_id: sessionId, ...(address.last && { last: address.last }) });
  }

  /** @param {Frame} frame */
  #received(frame) {
    // A heartbeat is for every session, and so is what cannot be read.
    if (!frame.session_id) return this.#receivedByAll(frame);
    const channel = this.#channels.get(frame.session_id);
    if (!channel) return;
    if (frame.id === channel.id) this.#answered(channel, frame);
    else if (channel.isPlaced) this.#deliver(channel, frame);
  }

  /** @param {Frame} frame */
  #receivedByAll(frame) {
    for (const channel of [...this.#channels.values()]) {
      if (channel.isPlaced) channel.listener.frame(frame);
    }
  }

  /**
   * @param {Channel} channel
   * @param {Frame} frame
   */
  #answered(channel, frame) {
    if (frame.type === 'ERROR') return this.#refused(channel, frame);
    channel.isPlaced = true;
    channel.listener.opened();
  }

  /**
   * @param {Channel} channel
   * @param {Frame} frame
   */
  #deliver(channel, frame) {
    // Without an id it answers nothing: the session itself is gone, or is not for this token any more.
    if (frame.type === 'ERROR' && frame.id === undefined) this.#refused(channel, frame);
    else channel.listener.frame(frame);
  }

  /**
   * @param {Channel} channel
   * @param {Frame} frame
   */
  #refused(channel, frame) {
    const { code, title = '' } = bodyOf(frame);
    this.#remove(channel);
    channel.listener.closed(CLOSE_CODES[code] ?? TEMPORARY_CODE, title);
    queueMicrotask(() => this.#closeIfUnused());
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #closed(code, reason) {
    this.#isEnded = true;
    this.stop();
    const channels = [...this.#channels.values()];
    this.#channels.clear();
    for (const { listener } of channels) listener.closed(code, reason);
  }

  /** @param {object} frame */
  #send(frame) {
    if (this.socket.readyState === 1) this.socket.send(JSON.stringify(frame));
  }
}
