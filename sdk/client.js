/**
 * Everything an app needs of a SyncKairos service: sessions, commands, live updates, cluster time and events. Any
 * number of sessions share one WebSocket, one measurement of the time and one token.
 *
 * @import {AdjustFields, CommandAnswer, CommandName, CommandOptions, CompleteFields, PauseFields, ResumeFields, SessionConfig, Snapshot, StartFields, SwitchFields} from './types.js'
 * @import {Events, TimeSync} from './events.js'
 * @import {Options} from './options.js'
 * @import {State} from './connection.js'
 */

import { checkCommand, checkConfig } from './bodies.js';
import { FUNCTION, ID, check, oneOf } from './checks.js';
import { clockIds, shownMs } from './clock.js';
import { Connection } from './connection.js';
import { EVENTS } from './events.js';
import { AUTOMATIC } from './fallback.js';
import { Followed } from './followed.js';
import { Listeners } from './listeners.js';
import { checkedBase, checkedOptions } from './options.js';
import { closed } from './problem.js';
import { Rest } from './rest.js';
import { RestCommands } from './rest-commands.js';
import { SharedExchange } from './shared-exchange.js';
import { ClockSync } from './sync.js';
import { withTokens } from './token-transport.js';
import { Tokens } from './tokens.js';
import { transportsFor, transportsHere } from './transports.js';
import { Wakes } from './wakes.js';

const WEBSOCKET = 'websocket';

// The smallest round trip of so many exchanges counts.
const SYNC_EXCHANGES = 4;

// These are plain requests even for a followed session: the answer is not its snapshot.
const PLAIN_COMMANDS = ['clone', 'delete'];

export class SyncKairosClient {
  /** @type {Map<string, Followed>} */
  #followed = new Map();
  #listeners = new Listeners();
  #isTimed = false;
  #isSkewed = false;
  /** Of connections that are closed. */
  #ignoredFrames = 0;

  /**
   * @param {string} [base] `https://host`; by default the origin of the page.
   * @param {Options} [options]
   */
  constructor(base = globalThis.location?.origin, options = {}) {
    this.base = checkedBase(base);
    this.options = checkedOptions(options);
    const { timers, token, fetch, requestTimeoutMs: timeoutMs } = this.options;
    this.token = typeof token === 'function' ? null : token;
    this.clock = new ClockSync({ taken: () => this.#synced() });
    this.tokens = typeof token === 'function' ? this.#tokensOf(token) : undefined;
    this.rest = new Rest({ base: this.base, token: this.token, tokens: this.tokens, fetch, timeoutMs });
    this.requests = new RestCommands({ timers, timeoutMs });
    this.exchange = new SharedExchange({ sync: this.clock, timers });
    this.wakes = new Wakes({ timers });
    this.transports = this.#transports();
  }

  /**
   * Creates a session. Like every method here it throws a `TypeError` at once where an argument makes no sense, and
   * its promise rejects with a `SyncKairosError` where the server refuses or cannot be reached.
   *
   * @param {SessionConfig} config
   * @returns {Promise<Snapshot>}
   */
  createSession(config) {
    checkConfig(config);
    return this.requests.run((key) => this.rest.create(config, key));
  }

  /**
   * @param {string} sessionId
   * @returns {Promise<Snapshot>}
   */
  getSession(sessionId) {
    check(sessionId, 'sessionId', ID);
    return this.rest.read(sessionId);
  }

  /**
   * @param {string} sessionId
   * @returns {Promise<void>}
   */
  async deleteSession(sessionId) {
    await this.command(sessionId, 'delete');
  }

  /**
   * Any command of a session, under one key however often it is sent. `switch` takes the active participant from the
   * followed snapshot if it is not given, so that a turn is not handed on twice.
   *
   * @param {string} sessionId
   * @param {CommandName} name
   * @param {Record<string, any>} [fields]
   * @returns {Promise<CommandAnswer>}
   */
  command(sessionId, name, fields = {}) {
    check(sessionId, 'sessionId', ID);
    checkCommand(name, fields);
    const connection = this.#followed.get(sessionId)?.connection;
    if (connection && !connection.ended && !PLAIN_COMMANDS.includes(name)) {
      return connection.command(name, { ...defaultsOf(name, connection.session), ...fields });
    }
    return this.requests.run((key) => this.rest.command(sessionId, name, fields, key));
  }

  /**
   * @param {string} sessionId
   * @param {StartFields} [fields]
   */
  startSession(sessionId, fields) {
    return this.command(sessionId, 'start', fields);
  }

  /**
   * @param {string} sessionId
   * @param {SwitchFields} [fields]
   */
  switchCycle(sessionId, fields) {
    return this.command(sessionId, 'switch', fields);
  }

  /**
   * @param {string} sessionId
   * @param {PauseFields} [fields]
   */
  pauseSession(sessionId, fields) {
    return this.command(sessionId, 'pause', fields);
  }

  /**
   * @param {string} sessionId
   * @param {ResumeFields} [fields]
   */
  resumeSession(sessionId, fields) {
    return this.command(sessionId, 'resume', fields);
  }

  /**
   * @param {string} sessionId
   * @param {CompleteFields} [fields]
   */
  completeSession(sessionId, fields) {
    return this.command(sessionId, 'complete', fields);
  }

  /**
   * @param {string} sessionId
   * @param {CommandOptions} [fields]
   */
  cancelSession(sessionId, fields) {
    return this.command(sessionId, 'cancel', fields);
  }

  /**
   * Gives, takes or sets time: one of `add_ms` and `set_ms`.
   *
   * @param {string} sessionId
   * @param {AdjustFields} fields
   */
  adjust(sessionId, fields) {
    return this.command(sessionId, 'adjust', fields);
  }

  /**
   * Moves the deadline by the session's `soft_close`.
   *
   * @param {string} sessionId
   * @param {CommandOptions} [fields]
   */
  extend(sessionId, fields) {
    return this.command(sessionId, 'extend', fields);
  }

  /**
   * Follows a session: `onUpdate` gets each newer snapshot. A session has one stream however many follow it, and it
   * closes with the last of them.
   *
   * @param {string} sessionId
   * @param {(snapshot: Snapshot) => void} [onUpdate]
   * @returns {() => void} Ends this follower.
   */
  connect(sessionId, onUpdate = () => {}) {
    return this.#follow(sessionId, onUpdate);
  }

  /**
   * The same over WebSocket only, for all followers of the session.
   *
   * @param {string} sessionId
   * @param {(snapshot: Snapshot) => void} [onUpdate]
   * @returns {() => void}
   */
  connectWebSocket(sessionId, onUpdate = () => {}) {
    if (!(WEBSOCKET in this.transports.transports)) throw new TypeError('connectWebSocket: there is no WebSocket here');
    return this.#follow(sessionId, onUpdate, WEBSOCKET);
  }

  /**
   * Ends all followers of one session, or everything this client does.
   *
   * @param {string} [sessionId]
   */
  disconnect(sessionId) {
    const all = sessionId === undefined ? [...this.#followed.values()] : [this.#followed.get(sessionId)];
    for (const followed of all) if (followed) this.#leave(followed);
    if (sessionId === undefined) this.requests.failAll(closed());
  }

  /**
   * The newest snapshot of a followed session.
   *
   * @param {string} sessionId
   * @returns {Snapshot|null}
   */
  session(sessionId) {
    return this.#followed.get(sessionId)?.connection.session ?? null;
  }

  /**
   * `idle`: nobody follows it here.
   *
   * @param {string} sessionId
   * @returns {State|'idle'}
   */
  state(sessionId) {
    return this.#followed.get(sessionId)?.connection.state ?? 'idle';
  }

  /**
   * The transport in use: `websocket`, `sse`, `poll`, or the name of your own.
   *
   * @param {string} sessionId
   * @returns {string|null}
   */
  transport(sessionId) {
    return this.#followed.get(sessionId)?.connection.transport ?? null;
  }

  /**
   * Why a session is not followed any more; null unless its state is `closed`.
   *
   * @param {string} sessionId
   * @returns {{code: number, reason: string}|null}
   */
  ended(sessionId) {
    return this.#followed.get(sessionId)?.connection.ended ?? null;
  }

  /** How many frames were not understood, and left out. */
  get ignoredFrames() {
    return [...this.#followed.values()].reduce((sum, { connection }) => sum + connection.ignoredFrames, this.#ignoredFrames);
  }

  /**
   * Measures cluster time. A client that follows a session does so by itself.
   *
   * @returns {Promise<TimeSync>}
   */
  async syncServerTime() {
    for (let exchanges = 0; exchanges < SYNC_EXCHANGES; exchanges += 1) {
      const origin = this.clock.monotonicMs();
      const { receive_ms, transmit_ms, uncertainty_ms } = await this.rest.time(origin);
      this.clock.take({ origin_ms: origin, receive_ms, transmit_ms, destination_ms: this.clock.monotonicMs(), uncertainty_ms });
    }
    return this.#time();
  }

  /** Cluster time in ms since 1970, never backwards but for a correction of over a second; the device's own until the first exchange. */
  getServerTime() {
    return this.clock.now();
  }

  /**
   * What the clock of a participant, a group or the session (`"session"`) shows now; null if it is not known.
   *
   * @param {string} participantId
   * @param {string} [sessionId] Needed where several sessions are followed.
   * @returns {number|null}
   */
  remaining(participantId, sessionId) {
    const [only] = this.#followed.keys();
    if (sessionId === undefined && this.#followed.size > 1) throw new TypeError('sessionId is needed where several sessions are followed');
    const session = this.session(sessionId ?? only);
    const isKnown = session && (clockIds(session).includes(participantId) || session.participants.some((one) => one.participant_id === participantId));
    return isKnown ? shownMs(session, participantId, this.getServerTime()) : null;
  }

  /**
   * @template {keyof Events} K
   * @param {K} name
   * @param {(payload: Events[K]) => void} listener
   * @returns {() => void} Removes the listener.
   */
  on(name, listener) {
    check(name, 'name', oneOf(EVENTS));
    check(listener, 'listener', FUNCTION);
    return this.#listeners.add(name, listener);
  }

  /**
   * @param {string} sessionId
   * @param {(snapshot: Snapshot) => void} onUpdate
   * @param {string} [transport]
   */
  #follow(sessionId, onUpdate, transport) {
    check(sessionId, 'sessionId', ID);
    check(onUpdate, 'onUpdate', FUNCTION);
    const followed = this.#followed.get(sessionId) ?? this.#newFollowed(sessionId, transport);
    const { connection } = followed;
    const stop = followed.add(onUpdate, () => this.#leave(followed));
    if (transport && connection.fallback.choice !== transport) connection.setTransport(transport);
    connection.open();
    return stop;
  }

  /**
   * @param {string} sessionId
   * @param {string} [transport]
   */
  #newFollowed(sessionId, transport) {
    const { timers, maxAttempts, stopAfterMaxAttempts } = this.options;
    const connection = this.#newConnection(sessionId, transport);
    /** @type {import('./followed.js').Emit} */
    const emit = (name, payload) => this.#listeners.emit(name, payload);
    const tokenError = () => this.tokens?.error ?? null;
    const followed = new Followed({ sessionId, connection, sync: this.clock, timers, emit, maxAttempts, stopAfterMaxAttempts, tokenError });
    this.#followed.set(sessionId, followed);
    return followed;
  }

  /**
   * @param {string} sessionId
   * @param {string} [transport]
   */
  #newConnection(sessionId, transport) {
    const { base, token, rest, clock: sync, wakes } = this;
    const { timers, random, retry, requestTimeoutMs: commandTimeoutMs } = this.options;
    const { transports, choice } = this.transports;
    const exchange = this.exchange.member();
    return new Connection({
      sessionId, base, token, rest, sync, wakes, exchange, timers, random, retry, commandTimeoutMs, transports, transport: transport ?? choice,
    });
  }

  /** @param {Followed} followed */
  #leave(followed) {
    if (this.#followed.get(followed.sessionId) !== followed) return;
    this.#followed.delete(followed.sessionId);
    followed.close();
    this.#ignoredFrames += followed.connection.ignoredFrames;
  }

  #transports() {
    const { transport, transports, fetch, timers } = this.options;
    const chosen = transportsFor(transport, transports ?? transportsHere({ fetch, timers, isShared: true }));
    check(chosen.choice, 'options.transport', oneOf([AUTOMATIC, ...Object.keys(chosen.transports)]));
    const { tokens } = this;
    if (!tokens) return chosen;
    const all = Object.entries(chosen.transports).map(([name, one]) => [name, withTokens(one, tokens)]);
    return { ...chosen, transports: Object.fromEntries(all) };
  }

  /** @param {import('./tokens.js').TokenCallback} ask */
  #tokensOf(ask) {
    const { timers, requestTimeoutMs: timeoutMs } = this.options;
    const now = () => (this.clock.hasSample ? this.clock.now() : null);
    const failed = (/** @type {Error} */ error) => this.#listeners.emit('error', { error });
    return new Tokens({ ask, timers, now, timeoutMs, failed });
  }

  #synced() {
    if (!this.#isTimed) this.tokens?.plan();
    this.#isTimed = true;
    for (const { cues } of this.#followed.values()) cues.plan();
    const time = this.#time();
    this.#listeners.emit('timeSynced', time);
    const isSkewed = Math.abs(time.offset) > this.options.warnSkewMs;
    if (isSkewed && !this.#isSkewed) this.#listeners.emit('clockSkewDetected', { offset: time.offset });
    this.#isSkewed = isSkewed;
  }

  /** @returns {TimeSync} */
  #time() {
    const { roundTrip, uncertainty } = this.clock;
    return { offset: this.clock.now() - Date.now(), roundTrip, uncertainty };
  }
}

/**
 * @param {string} command
 * @param {Snapshot|null} session
 */
function defaultsOf(command, session) {
  const active = session?.active_participant_id;
  return command === 'switch' && active ? { current_participant_id: active } : {};
}
