/**
 * Follows one session and commands it. Whatever happens to the network or to
 * the server, it comes back by itself and ends on the newest state; what it
 * holds in between is merged by position, so nothing old is ever shown again.
 *
 * @import {Frame, Snapshot} from './types.js'
 * @import {Timers} from './timers.js'
 * @import {Stream, Transport} from './websocket.js'
 *
 * @typedef {'connecting'|'live'|'stale'|'away'|'closed'} State
 *   `stale`: the stream is open, but nothing is heard on it. `away`: no stream; another is tried
 *   soon. `closed`: for good, `ended` says why.
 */

import { Backoff, comesBack } from './backoff.js';
import { Exchange } from './exchange.js';
import { Freshness } from './freshness.js';
import { Listeners } from './listeners.js';
import { merge } from './merge.js';
import { Pending } from './pending.js';
import { isNewer, parsePosition, positionText } from './position.js';
import { closed } from './problem.js';
import { Rest } from './rest.js';
import { ClockSync } from './sync.js';
import { systemTimers } from './timers.js';
import { webSockets } from './websocket.js';

const HEARTBEAT_MS = 5000;

// A server that takes a connection and says nothing is as good as away.
const OPENING_MS = 8000;

// So many refused before the first success: this network lets no stream through, so commands take the other road.
const HOPELESS_AFTER = 2;

/** Which code to give a reader whose session is not there; the stream's own is not seen when it never opened. */
export const NO_SUCH_SESSION = 4502;

export class Connection {
  /** @type {Snapshot|null} */
  session = null;
  /** @type {State} */
  state = 'connecting';
  /** @type {{code: number, reason: string}|null} */
  ended = null;

  /** @type {Stream|null} */
  #stream = null;
  #isOpen = false;
  #everOpened = false;
  #failures = 0;
  #timer = null;
  #listeners = new Listeners();

  /**
   * @param {object} parts
   * @param {string} parts.sessionId
   * @param {string} parts.base `https://host`
   * @param {string|null} [parts.token]
   * @param {number} [parts.heartbeatMs]
   * @param {Transport} [parts.transport]
   * @param {Rest} [parts.rest]
   * @param {ClockSync} [parts.sync]
   * @param {Timers} [parts.timers]
   * @param {() => number} [parts.random]
   */
  constructor({ sessionId, base, token = null, heartbeatMs = HEARTBEAT_MS, ...parts }) {
    this.address = { sessionId, base, token, heartbeatMs };
    this.transport = parts.transport ?? webSockets();
    this.rest = parts.rest ?? new Rest({ base, token });
    this.sync = parts.sync ?? new ClockSync();
    this.timers = parts.timers ?? systemTimers;
    this.backoff = new Backoff(parts.random);
    this.exchange = new Exchange({ sync: this.sync, timers: this.timers });
    this.pending = new Pending({ timers: this.timers, send: (frame) => this.#send(frame) });
    this.freshness = this.#watchFreshness(heartbeatMs);
  }

  /**
   * `session` (the snapshot), `state`, `expired` and `warning` (their
   * payloads), and `frame` for everything. Gives back what stops it.
   *
   * @param {'session'|'state'|'expired'|'warning'|'frame'} name
   * @param {Function} listener
   */
  on(name, listener) {
    return this.#listeners.add(name, listener);
  }

  /** Begins to follow. */
  open() {
    this.#connect();
    return this;
  }

  /** Stops for good. */
  close(code = 1000, reason = 'closed here') {
    if (this.ended) return;
    this.#drop();
    this.timers.clear(this.#timer);
    this.ended = { code, reason };
    this.pending.failAll(closed());
    this.#become('closed');
  }

  /** Tries at once where it would have waited: the network is back, or somebody looks again. */
  hurry() {
    if (this.state !== 'away' && this.state !== 'stale') return;
    this.backoff.reset();
    this.#connect();
  }

  /**
   * Any command of a session; answered with the snapshot and its `outcome`, refused with a `Problem`.
   *
   * @param {string} command
   * @param {object} [fields]
   * @returns {Promise<Snapshot & {outcome: any}>}
   */
  async command(command, fields = {}) {
    if (this.ended) throw closed();
    try {
      const answer = await this.pending.ask(command, fields);
      const { outcome: _outcome, ...snapshot } = answer;
      this.#hold(snapshot);
      return answer;
    } catch (problem) {
      // Refused, it tells how things stand, which may be why.
      if (problem.body?.session) this.#hold(problem.body.session);
      throw problem;
    }
  }

  /** Cluster time. */
  now() {
    return this.sync.now();
  }

  #watchFreshness(heartbeatMs) {
    return new Freshness({
      timers: this.timers,
      heartbeatMs,
      stale: () => this.#become('stale'),
      dead: () => this.#lost(1006, 'nothing heard'),
    });
  }

  #connect() {
    this.#drop();
    this.timers.clear(this.#timer);
    this.#timer = this.timers.set(() => this.#lost(1006, 'no answer'), OPENING_MS);
    if (this.state !== 'away') this.#become('connecting');
    const last = this.session && positionText(this.session);
    this.#stream = this.transport({ ...this.address, last }, this.#listener());
  }

  #listener() {
    return {
      opened: () => this.#opened(),
      frame: (frame) => this.#take(frame),
      closed: (code, reason) => this.#lost(code, reason),
    };
  }

  #opened() {
    this.timers.clear(this.#timer);
    this.#isOpen = this.#everOpened = true;
    this.freshness.heard();
    this.pending.resend();
    if (this.#stream.send) this.exchange.start((frame) => this.#send(frame));
  }

  #drop() {
    this.#stream?.close();
    this.#stream = null;
    this.#isOpen = false;
    this.exchange.stop();
    this.freshness.stop();
  }

  #lost(code, reason) {
    const hadOpened = this.#isOpen;
    this.#drop();
    if (!comesBack(code)) return this.close(code, reason);
    this.#failures += 1;
    this.#become('away');
    this.timers.clear(this.#timer);
    this.#timer = this.timers.set(() => this.#connect(), this.backoff.nextMs());
    if (hadOpened) return;
    this.pending.resend();
    this.#look();
  }

  // A browser does not tell why a stream would not open; a plain read does, and it brings the newest state.
  async #look() {
    try {
      this.#hold(await this.rest.read(this.address.sessionId));
    } catch (problem) {
      if (problem.status === 404) this.close(NO_SUCH_SESSION, 'no such session');
      if (problem.status === 401) this.close(4500, 'token refused or expired');
      if (problem.status === 403) this.close(4501, 'not allowed');
    }
  }

  // A command that finds no way now stands in `pending`, and goes out when the stream opens.
  #send(frame) {
    if (this.#isOpen && this.#stream.send) this.#stream.send(frame);
    else if (frame.type === 'COMMAND' && this.#takesOtherRoad()) this.#sendByRest(frame);
  }

  #takesOtherRoad() {
    return this.#isOpen || (!this.#everOpened && this.#failures >= HOPELESS_AFTER);
  }

  async #sendByRest({ type, id, command, idempotency_key: key, ...fields }) {
    try {
      this.pending.granted(id, await this.rest.command(this.address.sessionId, command, fields, key));
    } catch (problem) {
      if (problem.code !== 'unreachable') this.pending.refused(id, problem.body);
    }
  }

  #take(frame) {
    this.freshness.heard();
    this.backoff.reset();
    this.#become('live');
    this.#takers[frame.type]?.(frame, bodyOf(frame));
    this.#listeners.tell('frame', frame);
  }

  #takers = {
    STATE_SYNC: (_frame, body) => this.#hold(body),
    STATE_UPDATE: (frame, body) => this.#hold(body, frame.partial),
    TIME_EXPIRED: (_frame, body) => this.#listeners.tell('expired', body),
    TIME_WARNING: (_frame, body) => this.#listeners.tell('warning', body),
    HEARTBEAT: (frame, body) => this.#check(frame.position ?? body.position),
    PONG: (_frame, body) => this.exchange.pong(body),
    ACK: (frame, body) => this.pending.granted(frame.id, body),
    ERROR: (frame, body) => this.pending.refused(frame.id, body),
    SESSION_DELETED: () => this.close(4503, 'session deleted'),
  };

  #hold(came, isPartial = false) {
    const merged = merge(this.session, came, isPartial);
    if (merged === this.session) return;
    if (merged === null) return this.#resynchronise();
    this.session = merged;
    this.#listeners.tell('session', merged);
  }

  #check(text) {
    const position = parsePosition(text);
    if (position && isNewer(position, this.session)) this.#resynchronise();
  }

  // Without an epoch the server answers with the whole state.
  #resynchronise() {
    this.#send({ type: 'RECONNECT', last_known_version: this.session?.version ?? 0 });
  }

  #become(state) {
    if (this.state === state || this.state === 'closed') return;
    this.state = state;
    this.#listeners.tell('state', state);
  }
}

// Fields stand in the payload; beside it they are understood too.
function bodyOf(frame) {
  return frame.payload ?? frame;
}
