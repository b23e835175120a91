/**
 * Follows one session and commands it. After any failure of the network or the server, it
 * reconnects by itself and catches up with the newest state. It merges by position, so it
 * never shows an old state again.
 *
 * @import {Frame, Snapshot} from './types.js'
 * @import {Blame, Loss} from './attempt.js'
 * @import {Timers} from './timers.js'
 * @import {Transport} from './websocket.js'
 *
 * @typedef {'connecting'|'live'|'stale'|'away'|'closed'} State
 *   `stale`: the stream is open, but no frame arrives. `away`: no stream; the next attempt comes
 *   soon. `closed`: until `open()` is called again; `ended` says why.
 */

import { Backoff, isRetryable } from './backoff.js';
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

// A stream is given up after three missed heartbeats: nine seconds of silence.
const HEARTBEAT_INTERVAL_MS = 3000;

// After so many failures without one success, commands go over REST: this network lets no stream through.
const REST_AFTER_FAILURES = 2;

// A stream that lives this long marks its transport as stable.
const STABLE_AFTER_MS = 30_000;

/** The close code if there is no such session; a stream that never opened cannot deliver it. */
export const NO_SUCH_SESSION = 4502;

export class Connection {
  /** @type {Snapshot|null} */
  session = null;
  /** @type {State} */
  state = 'connecting';
  /** @type {{code: number, reason: string}|null} */
  ended = null;

  /** The stream in use, and the trial of a better one beside it. @type {Attempt|null} */
  #attempt = null;
  /** @type {Attempt|null} */
  #trial = null;
  #isFollowing = false;
  /** Counts the calls of `open()`, so that an answer to an earlier one changes nothing. */
  #run = 0;
  #wasOpened = false;
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
   * @param {string|Transport} [parts.transport] `automatic`, the name of a transport to stay with, or your own transport.
   * @param {Record<string, Transport>} [parts.transports] Best first; by default those of the platform.
   * @param {Rest} [parts.rest]
   * @param {ClockSync} [parts.sync]
   * @param {Timers} [parts.timers]
   * @param {() => number} [parts.random]
   */
  constructor({ sessionId, base, token = null, heartbeatMs = HEARTBEAT_INTERVAL_MS, transport = AUTOMATIC, ...parts }) {
    this.address = { sessionId, base, token, heartbeatMs };
    this.rest = parts.rest ?? new Rest({ base, token });
    this.sync = parts.sync ?? new ClockSync();
    this.timers = parts.timers ?? systemTimers;
    this.backoff = new Backoff(parts.random);
    this.fallback = new Fallback({ ...transportsFor(transport, parts.transports), random: parts.random });
    this.exchange = new Exchange({ sync: this.sync, timers: this.timers });
    this.pending = new PendingCommands({ timers: this.timers, send: (frame) => this.#send(frame) });
  }

  /**
   * `session` (the snapshot), `state`, `transport` (it changed, or a trial failed), `expired` and
   * `warning` (their payloads), and `frame` for every frame. Returns a function that removes the listener.
   *
   * @param {'session'|'state'|'transport'|'expired'|'warning'|'frame'} name
   * @param {Function} listener
   */
  on(name, listener) {
    return this.#listeners.add(name, listener);
  }

  /** Starts to follow; after `close()` it starts again, with the same listeners. A second call changes nothing. */
  open() {
    if (this.#isFollowing) return this;
    const isReopened = this.ended !== null;
    this.#isFollowing = true;
    this.#run += 1;
    if (isReopened) this.#reset();
    this.#connect();
    return this;
  }

  /** Stops. Pending commands are rejected with `closed`; `open()` starts again. */
  close(code = 1000, reason = 'closed here') {
    if (this.ended) return;
    this.#isFollowing = false;
    this.#disconnect();
    this.timers.clear(this.#timer);
    this.ended = { code, reason };
    this.pending.failAll(closed());
    this.#setState('closed');
  }

  // The state of the run that ended is dropped. The offset of the clock stays valid.
  #reset() {
    this.ended = null;
    this.session = null;
    this.#cursor = new Cursor();
    this.#wasOpened = false;
    this.#failures = 0;
    this.backoff.reset();
    this.fallback.choose(this.fallback.choice);
  }

  /** Reconnects at once instead of waiting: the network is back, or the page is visible again. */
  reconnectNow() {
    if (this.state === 'live' && !this.#trial) this.#startTrial(this.fallback.better);
    if (this.state !== 'away' && this.state !== 'stale') return;
    this.backoff.reset();
    this.#connect();
  }

  /**
   * Goes on over another transport, from the newest position.
   *
   * @param {string} choice `automatic`, or the name of a transport to stay with
   */
  setTransport(choice) {
    this.fallback.choose(choice);
    if (this.#isFollowing && !this.ended) {
      this.backoff.reset();
      this.#connect();
    }
    this.#listeners.emit('transport', this.transport);
  }

  /** The name of the transport in use. */
  get transport() {
    return this.fallback.name;
  }

  /** How long ago the last frame arrived; null while no stream is open. */
  get silentMs() {
    return this.#attempt?.isOpen ? this.#attempt.liveness.silentMs : null;
  }

  /**
   * Sends any command of a session. Resolves with the snapshot and its `outcome`, rejects with a `Problem`.
   *
   * @param {string} command
   * @param {object} [fields]
   * @returns {Promise<Snapshot & {outcome: any}>}
   */
  async command(command, fields = {}) {
    if (this.ended) throw closed();
    const run = this.#run;
    try {
      const answer = await this.pending.add(command, fields);
      const { outcome: _outcome, ...snapshot } = answer;
      if (this.#isCurrent(run)) this.#merge(snapshot);
      return answer;
    } catch (problem) {
      // A refusal brings the present snapshot.
      if (problem.body?.session && this.#isCurrent(run)) this.#merge(problem.body.session);
      throw problem;
    }
  }

  /** Cluster time. */
  now() {
    return this.sync.now();
  }

  // A listener may close, or open again, while it is called: then the run it was called for is over.
  #isCurrent(run) {
    return this.#isFollowing && this.#run === run;
  }

  #connect() {
    this.#disconnect();
    this.timers.clear(this.#timer);
    const attempt = this.#newAttempt(this.fallback.name, this.#watcher);
    this.#attempt = attempt;
    if (this.state !== 'away') this.#setState('connecting');
    if (this.#attempt === attempt) attempt.open();
  }

  #newAttempt(name, watcher) {
    const address = { ...this.address, last: this.#cursor.last };
    const transport = this.fallback.transports[name];
    return new Attempt({ name, transport, address, timers: this.timers, isNew: this.#cursor.reader(), watcher });
  }

  #watcher = {
    opened: () => this.#opened(),
    frame: (attempt, frame) => this.#receive(attempt, frame),
    stale: () => this.#setState('stale'),
    lost: (attempt, loss) => this.#lost(attempt, loss),
  };

  #opened() {
    this.#wasOpened = true;
    this.pending.resend();
    this.#measure();
  }

  #measure() {
    this.exchange.start((frame) => this.#send(frame));
    this.#planTrial();
  }

  #disconnect() {
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
    this.#disconnect();
    if (!isRetryable(code)) return this.close(code, reason);
    this.#failures += 1;
    this.timers.clear(this.#timer);
    this.#timer = this.timers.set(() => this.#connect(), this.backoff.nextMs());
    const run = this.#run;
    this.#setState('away');
    if (!blame || !this.#isCurrent(run)) return;
    if (!attempt.isOpen) this.pending.resend();
    this.#readSession(() => this.#fallBack(attempt.name, blame));
  }

  // A browser hides why a stream did not open; a plain read tells, and it brings the newest state.
  async #readSession(onAnswer = () => {}) {
    const run = this.#run;
    try {
      const session = await this.rest.read(this.address.sessionId);
      if (this.#isCurrent(run)) this.#merge(session);
      if (this.#isCurrent(run)) onAnswer();
    } catch (problem) {
      if (!this.#isCurrent(run)) return;
      if (problem.status === 404) this.close(NO_SUCH_SESSION, 'no such session');
      if (problem.status === 401) this.close(4500, 'token refused or expired');
      if (problem.status === 403) this.close(4501, 'not allowed');
    }
  }

  // The server answers, so the network does not let this transport through.
  #fallBack(name, blame) {
    if (this.ended || this.fallback.name !== name || this.#attempt?.isOpen) return;
    if (this.fallback.reportFailure(blame)) {
      this.#setState('connecting');
      if (!this.ended) this.#connect();
    }
    this.#listeners.emit('transport', this.transport);
  }

  #planTrial() {
    this.timers.clear(this.#trialTimer);
    const { better } = this.fallback;
    if (better.length > 0) this.#trialTimer = this.timers.set(() => this.#startTrial(better), this.fallback.nextTrialMs());
  }

  // The present stream goes on until the better one delivers a frame.
  #startTrial([name, ...lesser]) {
    this.timers.clear(this.#trialTimer);
    if (!name) return this.#planTrial();
    this.#trial = this.#newAttempt(name, {
      opened: (attempt) => attempt.send?.({ type: 'PING', timestamp: 0 }),
      frame: (attempt, frame) => this.#adopt(attempt, frame),
      stale: () => {},
      lost: (_attempt, loss) => this.#failedTrial(name, loss, lesser),
    });
    this.#trial.open();
  }

  #failedTrial(name, { blame }, lesser) {
    this.#trial = null;
    this.fallback.failedTrial(name, blame);
    this.#startTrial(lesser);
    this.#listeners.emit('transport', this.transport);
  }

  #adopt(attempt, frame) {
    this.#attempt?.close();
    this.#attempt = attempt;
    this.#trial = null;
    attempt.watcher = this.#watcher;
    this.fallback.returned(attempt.name);
    this.#measure();
    this.#listeners.emit('transport', this.transport);
    if (this.#attempt === attempt) this.#receive(attempt, frame);
  }

  // Returns whether it was sent. A command that was not waits in `pending` until a stream opens.
  #send(frame) {
    if (!this.#attempt?.send) return Boolean(this.#byRest[frame.type]?.(frame));
    this.#attempt.send(frame);
    return true;
  }

  #byRest = {
    COMMAND: (frame) => this.#mayUseRest() && this.#sendByRest(frame),
    PING: (frame) => this.#pingByRest(frame),
    RECONNECT: () => this.#readSession(),
  };

  #mayUseRest() {
    return this.#attempt?.isOpen || (!this.#wasOpened && this.#failures >= REST_AFTER_FAILURES);
  }

  async #sendByRest({ type, id, command, idempotency_key: key, ...fields }) {
    try {
      this.pending.applied(id, await this.rest.command(this.address.sessionId, command, fields, key));
    } catch (problem) {
      if (problem.code !== 'unreachable') this.pending.refused(id, problem.body);
    }
  }

  async #pingByRest({ timestamp }) {
    const stamps = await this.rest.time(timestamp).catch(() => null);
    if (stamps) this.exchange.pong({ timestamp, received_at_ms: stamps.receive_ms, sent_at_ms: stamps.transmit_ms });
  }

  #receive(attempt, frame) {
    this.backoff.reset();
    if (attempt.aliveMs > STABLE_AFTER_MS) this.fallback.markStable();
    this.#setState('live');
    if (this.#attempt !== attempt || !attempt.isNew(frame)) return;
    this.#handlers[frame.type]?.(frame, bodyOf(frame));
    this.#listeners.emit('frame', frame);
  }

  #handlers = {
    STATE_SYNC: (_frame, body) => this.#merge(body),
    STATE_UPDATE: (frame, body) => this.#merge(body, frame.partial),
    TIME_EXPIRED: (_frame, body) => this.#listeners.emit('expired', body),
    TIME_WARNING: (_frame, body) => this.#listeners.emit('warning', body),
    HEARTBEAT: (frame, body) => this.#check(frame.position ?? body.position),
    PONG: (_frame, body) => this.exchange.pong(body),
    ACK: (frame, body) => this.pending.applied(frame.id, body),
    ERROR: (frame, body) => this.pending.refused(frame.id, body),
    SESSION_DELETED: () => this.close(4503, 'session deleted'),
  };

  #merge(incoming, isPartial = false) {
    const merged = merge(this.session, incoming, isPartial);
    if (merged === this.session) return;
    if (merged === null) return this.#resynchronise();
    this.session = merged;
    this.#listeners.emit('session', merged);
  }

  #check(text) {
    const position = parsePosition(text);
    if (position && isNewer(position, this.session)) this.#resynchronise();
  }

  // Without an epoch the server sends the whole state.
  #resynchronise() {
    this.#send({ type: 'RECONNECT', last_known_version: this.session?.version ?? 0 });
  }

  #setState(state) {
    if (this.state === state || (this.ended && state !== 'closed')) return;
    this.state = state;
    this.#listeners.emit('state', state);
  }
}

// A transport of the caller has no alternatives.
function transportsFor(transport, transports = transportsHere()) {
  if (typeof transport === 'function') return { transports: { own: transport }, choice: 'own' };
  return { transports, choice: transport };
}
