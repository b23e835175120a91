/**
 * Follows one session and commands it. After any failure of the network or the server, it
 * reconnects by itself and catches up with the newest state. It merges by position, so it
 * never shows an old state again.
 *
 * @import {CommandAnswer, Frame, Snapshot} from './types.js'
 * @import {Blame, Loss, Watcher} from './attempt.js'
 * @import {Timers} from './timers.js'
 * @import {Transport} from './websocket.js'
 *
 * @typedef {'connecting'|'live'|'stale'|'away'|'closed'} State
 *   `stale`: the stream is open, but no frame arrives. `away`: no stream; the next attempt comes
 *   soon. `closed`: until `open()` is called again; `ended` says why.
 *
 * @typedef {object} Lost A stream was lost, or did not open.
 * @property {number} code
 * @property {string} reason
 * @property {number} failures How many tries in a row failed.
 * @property {number} delayMs How long until the next one.
 */

import { Backoff, RECONNECT, isRetryable } from './backoff.js';
import { Cursor } from './cursor.js';
import { Exchange } from './exchange.js';
import { AUTOMATIC, Fallback } from './fallback.js';
import { ByRest } from './by-rest.js';
import { bodyOf, isUnderstood } from './frame.js';
import { Attempt } from './attempt.js';
import { Listeners } from './listeners.js';
import { merge } from './merge.js';
import { PendingCommands } from './pending.js';
import { isNewer, parsePosition } from './position.js';
import { closed, problemOf } from './problem.js';
import { Rest } from './rest.js';
import { ClockSync } from './sync.js';
import { Throttle } from './throttle.js';
import { TOKEN_REFUSED } from './token-transport.js';
import { systemTimers } from './timers.js';
import { transportsFor } from './transports.js';
import { Trials } from './trials.js';
import { Wakes } from './wakes.js';

// A stream is given up after 7.5 seconds of silence: two missed heartbeats, and half an interval.
const HEARTBEAT_INTERVAL_MS = 3000;

// After so many failures without one success, commands go over REST: this network lets no stream through.
const REST_AFTER_FAILURES = 2;

// After a wake a stream that can answer must do so in this time.
const PROBE_MS = 500;

// How often the whole state is asked for because of frames that were not understood.
const MEND_INTERVAL_MS = 5000;

// A stream that lives this long marks its transport as stable.
const STABLE_AFTER_MS = 30_000;

/** The end of a stream by the status of a plain read; a stream that did not open cannot deliver it. @type {Record<number, [number, string]>} */
const ENDS = {
  401: [TOKEN_REFUSED, 'token refused or expired'],
  403: [4501, 'not allowed'],
  404: [4502, 'no such session'],
};

export class Connection {
  /** @type {Snapshot|null} */
  session = null;
  /** @type {State} */
  state = 'connecting';
  /** @type {{code: number, reason: string}|null} */
  ended = null;

  /** The stream in use. @type {Attempt|null} */
  #attempt = null;
  /** How many frames were not understood: no JSON, of an unknown type, or of a newer form. */
  ignoredFrames = 0;
  #isFollowing = false;
  /** Counts the calls of `open()`, so that an answer to an earlier one changes nothing. */
  #run = 0;
  #wasOpened = false;
  #failures = 0;
  /** @type {any} */
  #timer = null;
  #unwatch = () => {};
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
   * @param {import('./shared-exchange.js').Member} [parts.exchange] Measures the offset; by default it does so alone.
   * @param {Wakes} [parts.wakes]
   * @param {{firstMs?: number, maxMs?: number}} [parts.retry] The first and the longest wait of `Backoff`.
   * @param {number} [parts.commandTimeoutMs]
   * @param {Timers} [parts.timers]
   * @param {() => number} [parts.random]
   */
  constructor({ sessionId, base, token = null, heartbeatMs = HEARTBEAT_INTERVAL_MS, transport = AUTOMATIC, ...parts }) {
    this.address = { sessionId, base, token, heartbeatMs };
    this.rest = parts.rest ?? new Rest({ base, token });
    this.sync = parts.sync ?? new ClockSync();
    this.timers = parts.timers ?? systemTimers;
    this.backoff = new Backoff(parts.random, { ...RECONNECT, ...parts.retry });
    this.fallback = new Fallback({ ...transportsFor(transport, parts.transports), random: parts.random });
    this.exchange = parts.exchange ?? new Exchange({ sync: this.sync, timers: this.timers });
    this.wakes = parts.wakes ?? new Wakes({ timers: this.timers });
    const [timers, timeoutMs] = [this.timers, parts.commandTimeoutMs];
    this.pending = new PendingCommands({ timers, timeoutMs, send: (frame) => this.#send(frame) });
    this.trials = new Trials({
      fallback: this.fallback,
      timers,
      newAttempt: (name, watcher) => this.#newAttempt(name, watcher),
      adopt: (attempt, frame) => this.#adopt(attempt, frame),
      failed: () => this.#listeners.emit('transport', this.transport),
    });
    this.byRest = new ByRest({ sessionId, rest: this.rest, pending: this.pending, exchange: this.exchange });
    this.mending = new Throttle({ timers, intervalMs: MEND_INTERVAL_MS, run: () => this.#resynchronise() });
  }

  /**
   * `session` (the snapshot), `state`, `lost` (a `Lost`), `transport` (it changed, or a trial failed), `expired` and
   * `warning` (their payloads), and `frame` for every frame. Returns a function that removes the listener.
   *
   * @param {'session'|'state'|'lost'|'transport'|'expired'|'warning'|'frame'} name
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
    this.#unwatch = this.wakes.watch((sleptMs) => this.#woke(sleptMs));
    this.#connect();
    return this;
  }

  /** Stops. Pending commands are rejected with `closed`; `open()` starts again. */
  close(code = 1000, reason = 'closed here') {
    if (this.ended) return;
    this.#isFollowing = false;
    this.#disconnect();
    this.#unwatch();
    this.mending.stop();
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

  // The page or the device slept, or the network changed: what looks open may be dead.
  /** @param {number} sleptMs */
  #woke(sleptMs) {
    if (sleptMs > 0) this.sync.unsettle();
    const attempt = this.#attempt;
    if (this.state !== 'live' || !attempt) return this.reconnectNow();
    if (attempt.liveness.isOverdue) return this.#connect();
    this.exchange.start((frame) => this.#send(frame));
    if (attempt.send) attempt.probe(PROBE_MS);
    else this.#readSession();
    this.reconnectNow();
  }

  /** Reconnects at once instead of waiting: the network is back, or the page is visible again. */
  reconnectNow() {
    if (this.state === 'live' && !this.trials.isRunning) this.trials.start(this.fallback.better);
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
   * Sends any command of a session. Resolves with the snapshot and its `outcome`, rejects with a `SyncKairosError`.
   *
   * @param {string} command
   * @param {object} [fields]
   * @returns {Promise<CommandAnswer>}
   */
  async command(command, fields = {}) {
    if (this.ended) throw closed();
    const run = this.#run;
    try {
      const answer = await this.pending.add(command, fields);
      const { outcome: _outcome, position: _position, replayed: _replayed, ...snapshot } = answer;
      if (this.#isCurrent(run)) this.#merge(snapshot);
      return answer;
    } catch (error) {
      // A refusal brings the present snapshot.
      const { session } = problemOf(error);
      if (session && this.#isCurrent(run)) this.#merge(session);
      throw error;
    }
  }

  /** Cluster time. */
  now() {
    return this.sync.now();
  }

  // A listener may close, or open again, while it is called: then the run it was called for is over.
  /** @param {number} run */
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

  /**
   * @param {string} name
   * @param {Watcher} watcher
   */
  #newAttempt(name, watcher) {
    const address = { ...this.address, last: this.#cursor.last };
    const transport = this.fallback.transports[name];
    return new Attempt({ name, transport, address, timers: this.timers, isNew: this.#cursor.reader(), watcher });
  }

  /** @type {Watcher} */
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
    this.trials.plan();
  }

  #disconnect() {
    this.#attempt?.close();
    this.#attempt = null;
    this.trials.stop();
    this.exchange.stop();
  }

  /**
   * @param {Attempt} attempt
   * @param {Loss} loss
   */
  #lost(attempt, { code, reason, blame }) {
    this.#disconnect();
    if (!isRetryable(code)) return this.close(code, reason);
    this.#failures = attempt.wasLive ? 0 : this.#failures + 1;
    this.timers.clear(this.#timer);
    const delayMs = this.backoff.nextMs();
    this.#timer = this.timers.set(() => this.#connect(), delayMs);
    const run = this.#run;
    this.#setState('away');
    if (this.#isCurrent(run)) this.#listeners.emit('lost', { code, reason, failures: this.#failures, delayMs });
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
    } catch (error) {
      const end = ENDS[problemOf(error).status];
      if (end && this.#isCurrent(run)) this.close(...end);
    }
  }

  // The server answers, so the network does not let this transport through.
  /**
   * @param {string} name
   * @param {Blame} blame
   */
  #fallBack(name, blame) {
    // One that opened and was not heard yet is no proof: where events are held back, the answer's head comes through.
    if (this.ended || this.fallback.name !== name || this.#attempt?.wasLive) return;
    if (this.fallback.reportFailure(blame)) {
      this.#setState('connecting');
      if (!this.ended) this.#connect();
    }
    this.#listeners.emit('transport', this.transport);
  }

  /**
   * @param {Attempt} attempt
   * @param {Frame} frame
   */
  #adopt(attempt, frame) {
    this.#attempt?.close();
    this.#attempt = attempt;
    attempt.watcher = this.#watcher;
    this.#measure();
    this.#listeners.emit('transport', this.transport);
    if (this.#attempt === attempt) this.#receive(attempt, frame);
  }

  // Returns whether it was sent. A command that was not waits in `pending` until a stream opens.
  /** @param {any} frame */
  #send(frame) {
    const send = this.#attempt?.send;
    if (!send) return Boolean(this.#ways[frame.type]?.(frame));
    send(frame);
    return true;
  }

  /** @type {Record<string, (frame: object) => unknown>} */
  #ways = {
    COMMAND: (frame) => this.#mayUseRest() && this.byRest.command(frame),
    PING: (frame) => this.byRest.ping(frame),
    RECONNECT: () => this.#readSession(),
  };

  #mayUseRest() {
    return this.#attempt?.isOpen || (!this.#wasOpened && this.#failures >= REST_AFTER_FAILURES);
  }

  /**
   * @param {Attempt} attempt
   * @param {Frame} frame
   */
  #receive(attempt, frame) {
    this.backoff.reset();
    if (attempt.aliveMs > STABLE_AFTER_MS) this.fallback.markStable();
    this.#setState('live');
    if (this.#attempt !== attempt) return;
    if (!isUnderstood(frame)) return this.#ignore();
    if (!attempt.isNew(frame)) return;
    this.#handlers[frame.type]?.(frame, bodyOf(frame));
    this.#listeners.emit('frame', frame);
  }

  /** @type {Record<string, (frame: Frame, body: any) => void>} */
  #handlers = {
    STATE_SYNC: (_frame, body) => this.#merge(body),
    STATE_UPDATE: (frame, body) => this.#merge(body, frame.partial),
    TIME_EXPIRED: (_frame, body) => this.#listeners.emit('expired', body),
    TIME_WARNING: (_frame, body) => this.#listeners.emit('warning', body),
    HEARTBEAT: (frame, body) => this.#check(frame.position ?? body.position),
    PONG: (_frame, body) => this.exchange.pong(body),
    ACK: (frame, body) => this.pending.applied(String(frame.id), body),
    ERROR: (frame, body) => this.pending.refused(String(frame.id), body),
    SESSION_DELETED: () => this.close(4503, 'session deleted'),
  };

  /**
   * @param {Snapshot} incoming
   * @param {boolean} [isPartial]
   */
  #merge(incoming, isPartial = false) {
    const merged = merge(this.session, incoming, isPartial);
    if (merged === this.session) return;
    if (merged === null) return this.#resynchronise();
    this.session = merged;
    this.#listeners.emit('session', merged);
  }

  // It may have told a change, so the whole state is asked for.
  #ignore() {
    this.ignoredFrames += 1;
    this.mending.ask();
  }

  /** @param {string|undefined} text */
  #check(text) {
    const position = parsePosition(text);
    if (position && isNewer(position, this.session)) this.#resynchronise();
  }

  // Without an epoch the server sends the whole state.
  #resynchronise() {
    this.#send({ type: 'RECONNECT', last_known_version: this.session?.version ?? 0 });
  }

  /** @param {State} state */
  #setState(state) {
    if (this.state === state || (this.ended && state !== 'closed')) return;
    this.state = state;
    this.#listeners.emit('state', state);
  }
}
