/**
 * Long-poll as a way to follow a session: it works where nothing else is let
 * through. Each request is answered as soon as there is news; what the answer
 * holds is told as the same frames the streams bring.
 *
 * @import {Address} from './address.js'
 * @import {Listener, Transport} from './websocket.js'
 * @import {Timers} from './timers.js'
 */

import { sessionUrl } from './address.js';
import { isNewer, parsePosition } from './position.js';
import { systemTimers } from './timers.js';

// The first answer says that this way works; with nothing new it would keep us waiting.
const FIRST_MS = 1000;

// Something on the way that answers in the server's place, always the same, must not be asked all the time.
const SAME_AGAIN_MS = 1000;

// Which close code of a stream stands for a refused request.
const CODES = { 401: 4500, 403: 4501, 404: 4502, 429: 4008 };
const PASSING = 4004;

/**
 * @param {{fetch?: typeof globalThis.fetch, timers?: Timers}} [parts]
 * @returns {Transport}
 */
export function longPolls({ fetch = (...args) => globalThis.fetch(...args), timers = systemTimers } = {}) {
  return (address, listener) => {
    const poll = new LongPoll({ address, listener, fetch, timers });
    poll.run();
    return { send: null, close: () => poll.stop() };
  };
}

class LongPoll {
  #controller = new AbortController();
  #timer = null;
  #isOpen = false;

  constructor({ address, listener, fetch, timers }) {
    Object.assign(this, { address, listener, fetch, timers });
    this.since = address.last;
  }

  stop() {
    this.#controller.abort();
    this.timers.clear(this.#timer);
  }

  get isOver() {
    return this.#controller.signal.aborted;
  }

  async run() {
    for (let patienceMs = FIRST_MS; !this.isOver; patienceMs = this.address.heartbeatMs) {
      const askedAtMs = this.timers.nowMs();
      const answer = await this.#ask(patienceMs);
      if (!answer || this.isOver) return;
      const isSame = answer.position === this.since && this.timers.nowMs() - askedAtMs < patienceMs / 2;
      this.#tell(answer);
      await this.#wait(Math.max(answer.next_poll_ms ?? 0, isSame ? SAME_AGAIN_MS : 0));
    }
  }

  // The answer; null if there is none to go on from.
  async #ask(patienceMs) {
    try {
      const response = await this.fetch(this.#url(patienceMs).href, this.#init());
      if (!response.ok) return this.#end(CODES[response.status] ?? PASSING, response.statusText);
      return await response.json();
    } catch {
      return this.#end(1006, '');
    }
  }

  #url(patienceMs) {
    const url = sessionUrl(this.address.base, this.address.sessionId, 'poll');
    if (this.since) url.searchParams.set('since', this.since);
    url.searchParams.set('timeout_ms', String(patienceMs));
    return url;
  }

  #init() {
    const { token } = this.address;
    const headers = { Accept: 'application/json', ...(token && { Authorization: `Bearer ${token}` }) };
    return { headers, cache: 'no-store', signal: this.#controller.signal };
  }

  #tell({ position, events = [], session }) {
    if (!this.#isOpen) this.listener.opened();
    this.#isOpen = true;
    for (const frame of events) this.#frame(frame);
    const told = parsePosition(events.at(-1)?.position ?? this.since);
    const isMore = session && isNewer(session, told);
    const rest = isMore ? { type: 'STATE_SYNC', payload: session } : { type: 'HEARTBEAT', payload: {} };
    this.#frame({ session_id: this.address.sessionId, position, ...rest });
    this.since = position;
  }

  #frame(frame) {
    if (!this.isOver) this.listener.frame(frame);
  }

  #end(code, reason) {
    if (this.isOver) return null;
    this.stop();
    this.listener.closed(code, reason);
    return null;
  }

  #wait(ms) {
    if (ms <= 0 || this.isOver) return null;
    return new Promise((done) => {
      this.#timer = this.timers.set(done, ms);
    });
  }
}
