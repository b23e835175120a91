/**
 * The transport over server-sent events. It only receives.
 *
 * It reads them by `fetch`, because an `EventSource` sends no header, so its token would stand in the address. An
 * `EventSource` would also reconnect by itself; here the connection decides when, and on which transport.
 *
 * @import {Address} from './address.js'
 * @import {Listener, Stream, Transport} from './websocket.js'
 */

import { authorization, streamUrl } from './address.js';
import { EventReader } from './event-stream.js';
import { parseFrame, parseObject } from './frame.js';

// The close code of a stream for each status of a refused request.
/** @type {Record<number, number>} */
const CLOSE_CODES = { 401: 4500, 429: 4008, 503: 4004 };

const NETWORK_ERROR = 1006;

/**
 * @param {{fetch?: typeof globalThis.fetch}} [parts]
 * @returns {Transport}
 */
export function serverSentEvents({ fetch = (...args) => globalThis.fetch(...args) } = {}) {
  return (address, listener) => {
    const source = new EventStream({ address, listener, fetch });
    source.run();
    return source;
  };
}

/** @implements {Stream} */
class EventStream {
  /** It only receives. @type {null} */
  send = null;
  #controller = new AbortController();
  #isOver = false;
  #wasOpened = false;

  /** @param {{address: Address, listener: Listener, fetch: typeof globalThis.fetch}} parts */
  constructor({ address, listener, fetch }) {
    this.address = address;
    this.listener = listener;
    this.fetch = fetch;
  }

  close() {
    this.#isOver = true;
    this.#controller.abort();
  }

  /**
   * The server ends a stream with its token, so a new one begins where this one stands.
   *
   * @param {string} token
   */
  renew(token) {
    this.#controller.abort();
    this.#controller = new AbortController();
    this.address = { ...this.address, token };
    this.run();
  }

  async run() {
    const { signal } = this.#controller;
    const end = (/** @type {number} */ code, reason = '') => signal.aborted || this.#end(code, reason);
    try {
      const response = await this.fetch(streamUrl(this.address, 'events').href, this.#init(signal));
      if (signal.aborted) return;
      if (!isStream(response)) return end(codeOf(response), response.statusText);
      this.#opened();
      await this.#read(response, signal);
      end(NETWORK_ERROR);
    } catch {
      end(NETWORK_ERROR);
    }
  }

  // A renewal is no new stream for its listener.
  #opened() {
    if (!this.#wasOpened) this.listener.opened();
    this.#wasOpened = true;
  }

  /** @param {AbortSignal} signal */
  #init(signal) {
    const headers = { Accept: 'text/event-stream', ...authorization(this.address.token) };
    return /** @type {RequestInit} */ ({ headers, cache: 'no-store', signal });
  }

  /**
   * @param {Response} response
   * @param {AbortSignal} signal
   */
  async #read(response, signal) {
    const [events, decoder] = [new EventReader(), new TextDecoder()];
    const body = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    for (let read = await body.read(); !read.done && !signal.aborted; read = await body.read()) {
      for (const event of events.take(decoder.decode(read.value, { stream: true }))) {
        if (!signal.aborted) this.#take(event);
      }
    }
  }

  /** @param {import('./event-stream.js').StreamEvent} event */
  #take({ type, data, id }) {
    if (type === 'CLOSE') return this.#closed(data);
    this.listener.frame(parseFrame(data));
    // Only after it was delivered: a renewal goes on from here.
    if (id) this.address = { ...this.address, last: id };
  }

  /** @param {string} data */
  #closed(data) {
    const { code = NETWORK_ERROR, reason = '' } = parseObject(data) ?? {};
    this.#end(code, reason);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (this.#isOver) return;
    this.close();
    this.listener.closed(code, reason);
  }
}

/** @param {Response} response */
function isStream(response) {
  return response.ok && typeOf(response).startsWith('text/event-stream') && response.body !== null;
}

// Only the server's own refusal means what its status says; a proxy's shows that events do not get through.
/** @param {Response} response */
function codeOf(response) {
  const isOurs = typeOf(response).startsWith('application/problem+json');
  return (isOurs && CLOSE_CODES[response.status]) || NETWORK_ERROR;
}

/** @param {Response} response */
function typeOf(response) {
  return response.headers.get('content-type') ?? '';
}
