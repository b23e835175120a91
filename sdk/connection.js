/**
 * Follows one session and commands it. Whatever happens to the network or to
 * the server, it comes back by itself and ends on the newest state; what it
 * holds in between is merged by position, so nothing old is ever shown again.
 *
 * @import {Frame, Snapshot} from './types.js'
 * @import {Blame, Loss} from './attempt.js'
 * @import {Timers} from './timers.js'
 * @import {Transport} from './websocket.js'
 *
 * @typedef {'connecting'|'live'|'stale'|'away'|'closed'} State
 *   `stale`: the stream is open, but nothing is heard on it. `away`: no stream; another is tried
 *   soon. `closed`: until `open()` is called again, `ended` says why.
 */

import { Backoff, comesBack } from './backoff.js';
import { Cursor } from './cursor.js';
import { Exchange } from './exchange.js';
import { AUTOMATIC, Fallback } from './fallback.js';
import { bodyOf } from './frame.js';
import { Attempt } from './attempt.js';
import { Listeners } from './listeners.js';
import { merge } from './merge.js';
import { PendingCommands } from './pending.js';
import { isNewer, parsePosition } from './position.js';
import { closed } from './problem.js';
import { Rest } from './rest.js';
import { ClockSync } from './sync.js';
import { systemTimers } from './timers.js';
import { transportsHere } from './transports.js';

// Three of them make the nine seconds of silence after which a stream is given up.
const HEARTBEAT_MS = 3000;

// So many refused before the first success: this network lets no stream through, so commands take the other road.
const HOPELESS_AFTER = 2;

// What lives for so long is no accident.
const WELL_MS = 30_000;

/** Which code to give a reader whose session is not there; the stream's own is not seen when it never opened. */
export const NO_SUCH_SESSION = 4502;

export class Connection {
  /** @type {Snapshot|null} */
  session = null;
  /** @type {State} */
  state = 'connecting';
  /** @type {{code: number, reason: string}|null} */
  ended = null;

  /** The stream in use, and a better one that is tried beside it. @type {Attempt|null} */
  #attempt = null;
  /** @type {Attempt|null} */
  #trial = null;
  #isFollowing = false;
  /** Counts the calls of `open()`, so that an answer to an earlier one changes nothing. */
  #run = 0;
  #everOpened = false;
  #failures = 0;
  #timer = null;
  #trialTimer = null;
  #cursor = new Cursor();
  #listeners = new Listeners();

  /**
   * @param {object} parts
   * @param {string} parts.sessionId
   * @param {string} parts.base `https://host`
   * @param {string|null} [parts.token]
   * @param {number} [parts.heartbeatMs]
   * @param {string|Transport} [parts.transport] `automatic`, the name of one to stay with, or one of your own.
   * @param {Record<string, Transport>} [parts.transports] Best first; those of the platform if not given.
   * @param {Rest} [parts.rest]
   * @param {ClockSync} [parts.sync]
   * @param {Timers} [parts.timers]
   * @param {() => number} [parts.random]
   */
  constructor({ sessionId, base, token = null, heartbeatMs = HEARTBEAT_MS, transport = AUTOMATIC, ...parts }) {
    this.address = { sessionId, base, token, heartbeatMs };
    this.rest = parts.rest ?? new Rest({ base, token });
    this.sync = parts.sync ?? new ClockSync();
    this.timers = parts.timers ?? systemTimers;
    this.backoff = new Backoff(parts.random);
    this.fallback = new Fallback({ ...wanted(transport, parts.transports), random: parts.random });
    this.exchange = new Exchange({ sync: this.sync, timers: this.timers });
    this.pending = new PendingCommands({ timers: this.timers, send: (frame) => this.#send(frame) });
  }

  /**
   * `session` (the snapshot), `state`, `transport` (another one is used, or tried in vain), `expired` and
   * `warning` (their payloads), and `frame` for everything. Gives back what stops it.
   *
   * @param {'session'|'state'|'transport'|'expired'|'warning'|'frame'} name
   * @param {Function} listener
   */
  on(name, listener) {
    return this.#listeners.add(name, listener);
  }

  /** Begins to follow; after `close()` it begins anew, with the same listeners. While it follows, nothing changes. */
  open() {
    if (this.#isFollowing) return this;
    const isReopened = this.ended !== null;
    this.#isFollowing = true;
    this.#run += 1;
    if (isReopened) this.#forget();
    this.#connect();
    return this;
  }

  /** Stops. Commands that wait are refused with `closed`; `open()` begins anew. */
  close(code = 1000, reason = 'closed here') {
    if (this.ended) return;
    this.#isFollowing = false;
    this.#hangUp();
    this.timers.clear(this.#timer);
    this.ended = { code, reason };
    this.pending.failAll(closed());
    this.#become('closed');
  }

  // What was held, learnt and counted belongs to the run that ended. The clock's offset stays true.
  #forget() {
    this.ended = null;
    this.session = null;
    this.#cursor = new Cursor();
    this.#everOpened = false;
    this.#failures = 0;
    this.backoff.reset();
    this.fallback.choose(this.fallback.choice);
  }

  /** Tries at once where it would have waited: the network is back, or somebody looks again. */
  reconnectNow() {
    if (this.state === 'live' && !this.#trial) this.#try(this.fallback.better);
    if (this.state !== 'away' && this.state !== 'stale') return;
    this.backoff.reset();
    this.#connect();
  }

  /**
   * Goes on over another transport, from where it stands.
   *
   * @param {string} choice `automatic`, or the name of one to stay with
   */
  setTransport(choice) {
    this.fallback.choose(choice);
    if (this.#isFollowing && !this.ended) {
      this.backoff.reset();
      this.#connect();
    }
    this.#listeners.tell('transport', this.transport);
  }

  /** The name of the transport in use. */
  get transport() {
    return this.fallback.name;
  }

  /** How long ago something was last heard; null while nothing is open. */
  get silentMs() {
    return this.#attempt?.isOpen ? this.#attempt.liveness.silentMs : null;
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
    const run = this.#run;
    try {
      const answer = await this.pending.ask(command, fields);
      const { outcome: _outcome, ...snapshot } = answer;
      if (this.#isIn(run)) this.#hold(snapshot);
      return answer;
    } catch (problem) {
      // Refused, it tells how things stand, which may be why.
      if (problem.body?.session && this.#isIn(run)) this.#hold(problem.body.session);
      throw problem;
    }
  }

  /** Cluster time. */
  now() {
    return this.sync.now();
  }

  // A listener may close, or open again, while it is told: what it was told of is over then.
  #isIn(run) {
    return this.#isFollowing && this.#run === run;
  }

  #connect() {
    this.#hangUp();
    this.timers.clear(this.#timer);
    const attempt = this.#newAttempt(this.fallback.name, this.#watcher);
    this.#attempt = attempt;
    if (this.state !== 'away') this.#become('connecting');
    if (this.#attempt === attempt) attempt.open();
  }

  #newAttempt(name, watcher) {
    const address = { ...this.address, last: this.#cursor.last };
    const transport = this.fallback.transports[name];
    return new Attempt({ name, transport, address, timers: this.timers, isNew: this.#cursor.reader(), watcher });
  }

  #watcher = {
    opened: () => this.#opened(),
    frame: (attempt, frame) => this.#take(attempt, frame),
    stale: () => this.#become('stale'),
    lost: (attempt, loss) => this.#lost(attempt, loss),
  };

  #opened() {
    this.#everOpened = true;
    this.pending.resend();
    this.#measure();
  }

  #measure() {
    this.exchange.start((frame) => this.#send(frame));
    this.#planTrial();
  }

  #hangUp() {
    this.#attempt?.close();
    this.#trial?.close();
    this.#attempt = this.#trial = null;
    this.exchange.stop();
    this.timers.clear(this.#trialTimer);
  }

  /**
   * @param {Attempt} attempt
   * @param {Loss} loss
   */
  #lost(attempt, { code, reason, blame }) {
    this.#hangUp();
    if (!comesBack(code)) return this.close(code, reason);
    this.#failures += 1;
    this.timers.clear(this.#timer);
    this.#timer = this.timers.set(() => this.#connect(), this.backoff.nextMs());
    const run = this.#run;
    this.#become('away');
    if (!blame || !this.#isIn(run)) return;
    if (!attempt.isOpen) this.pending.resend();
    this.#look(() => this.#fall(attempt.name, blame));
  }

  // A browser does not tell why a stream would not open; a plain read does, and it brings the newest state.
  async #look(answered = () => {}) {
    const run = this.#run;
    try {
      const session = await this.rest.read(this.address.sessionId);
      if (this.#isIn(run)) this.#hold(session);
      if (this.#isIn(run)) answered();
    } catch (problem) {
      if (!this.#isIn(run)) return;
      if (problem.status === 404) this.close(NO_SUCH_SESSION, 'no such session');
      if (problem.status === 401) this.close(4500, 'token refused or expired');
      if (problem.status === 403) this.close(4501, 'not allowed');
    }
  }

  // The server answers, so it is not away: its streams are not let through on this transport.
  #fall(name, blame) {
    if (this.ended || this.fallback.name !== name || this.#attempt?.isOpen) return;
    if (this.fallback.reportFailure(blame)) {
      this.#become('connecting');
      if (!this.ended) this.#connect();
    }
    this.#listeners.tell('transport', this.transport);
  }

  #planTrial() {
    this.timers.clear(this.#trialTimer);
    const { better } = this.fallback;
    if (better.length > 0) this.#trialTimer = this.timers.set(() => this.#try(better), this.fallback.nextTrialMs());
  }

  // The present stream goes on until the better one is heard.
  #try([name, ...lesser]) {
    this.timers.clear(this.#trialTimer);
    if (!name) return this.#planTrial();
    this.#trial = this.#newAttempt(name, {
      opened: (attempt) => attempt.send?.({ type: 'PING', timestamp: 0 }),
      frame: (attempt, frame) => this.#adopt(attempt, frame),
      stale: () => {},
      lost: (_line, loss) => this.#failedTrial(name, loss, lesser),
    });
    this.#trial.open();
  }

  #failedTrial(name, { blame }, lesser) {
    this.#trial = null;
    this.fallback.failedTrial(name, blame);
    this.#try(lesser);
    this.#listeners.tell('transport', this.transport);
  }

  #adopt(attempt, frame) {
    this.#attempt?.close();
    this.#attempt = attempt;
    this.#trial = null;
    attempt.watcher = this.#watcher;
    this.fallback.returned(attempt.name);
    this.#measure();
    this.#listeners.tell('transport', this.transport);
    if (this.#attempt === attempt) this.#take(attempt, frame);
  }

  // What finds no way now: a command stands in `pending`, and goes out when the stream opens.
  #send(frame) {
    if (!this.#attempt?.send) return Boolean(this.#otherRoads[frame.type]?.(frame));
    this.#attempt.send(frame);
    return true;
  }

  #otherRoads = {
    COMMAND: (frame) => this.#takesOtherRoad() && this.#sendByRest(frame),
    PING: (frame) => this.#pingByRest(frame),
    RECONNECT: () => this.#look(),
  };

  #takesOtherRoad() {
    return this.#attempt?.isOpen || (!this.#everOpened && this.#failures >= HOPELESS_AFTER);
  }

  async #sendByRest({ type, id, command, idempotency_key: key, ...fields }) {
    try {
      this.pending.granted(id, await this.rest.command(this.address.sessionId, command, fields, key));
    } catch (problem) {
      if (problem.code !== 'unreachable') this.pending.refused(id, problem.body);
    }
  }

  async #pingByRest({ timestamp }) {
    const told = await this.rest.time(timestamp).catch(() => null);
    if (told) this.exchange.pong({ timestamp, received_at_ms: told.receive_ms, sent_at_ms: told.transmit_ms });
  }

  #take(attempt, frame) {
    this.backoff.reset();
    if (attempt.aliveMs > WELL_MS) this.fallback.markStable();
    this.#become('live');
    if (this.#attempt !== attempt || !attempt.isNew(frame)) return;
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
    if (this.state === state || (this.ended && state !== 'closed')) return;
    this.state = state;
    this.#listeners.tell('state', state);
  }
}

// One's own transport has no other beside it.
function wanted(transport, transports = transportsHere()) {
  if (typeof transport === 'function') return { transports: { own: transport }, choice: 'own' };
  return { transports, choice: transport };
}
