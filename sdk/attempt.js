/**
 * One attempt to use a transport, from opening to end: whether it opens, whether frames
 * arrive, and, when it is lost, whether the transport is to blame.
 *
 * @import {Address} from './address.js'
 * @import {Frame} from './types.js'
 * @import {Stream, Transport} from './websocket.js'
 * @import {Timers} from './timers.js'
 *
 * @typedef {'unopened'|'unheard'|'silent'|'cut'} Blame Why a transport failed: it did not open; no frame
 *   arrived, opened or not; frames stopped arriving; it was cut after a moment.
 *
 * @typedef {object} Loss
 * @property {number} code
 * @property {string} reason
 * @property {Blame|null} blame null: the transport is not to blame.
 *
 * @typedef {object} Watcher
 * @property {(attempt: Attempt) => void} opened
 * @property {(attempt: Attempt, frame: Frame) => void} frame
 * @property {() => void} stale
 * @property {(attempt: Attempt, loss: Loss) => void} lost
 */

import { Liveness } from './liveness.js';

// A server that accepts a connection and sends nothing counts as away.
const OPEN_TIMEOUT_MS = 8000;

// A stream that is cut sooner than this was probably not let through.
const SHORT_LIVED_MS = 5000;

export class Attempt {
  isOpen = false;
  #hasReceived = false;
  #isOver = false;
  /** Nothing was heard on it for too long. */
  #isSuspect = false;
  #openedAtMs = 0;
  /** @type {Stream|null} */
  #stream = null;
  /** @type {any} */
  #timer = null;

  /** @param {{name: string, transport: Transport, address: Address, timers: Timers, isNew: (frame: Frame) => boolean, watcher: Watcher}} parts */
  constructor({ name, transport, address, timers, isNew, watcher }) {
    this.name = name;
    this.transport = transport;
    this.address = address;
    this.timers = timers;
    this.isNew = isNew;
    this.watcher = watcher;
    this.liveness = new Liveness({
      timers,
      heartbeatMs: address.heartbeatMs,
      stale: () => this.#stale(),
      dead: () => this.#silent(this.#hasReceived ? 'silent' : 'unheard'),
    });
  }

  open() {
    this.#timer = this.timers.set(() => this.#silent('unheard'), OPEN_TIMEOUT_MS);
    try {
      this.#stream = this.transport(this.address, this.#listener());
    } catch {
      // An error of the platform ends the attempt like any other loss, asynchronously.
      this.timers.clear(this.#timer);
      this.#timer = this.timers.set(() => this.#end(1006, 'cannot be opened', 'unopened'), 0);
    }
    return this;
  }

  /** Sends a frame; null if the transport only receives, or is not open. */
  get send() {
    return this.isOpen ? (this.#stream?.send ?? null) : null;
  }

  /** How long it has been open. */
  get aliveMs() {
    return this.isOpen ? this.timers.nowMs() - this.#openedAtMs : 0;
  }

  /** Whether a frame was ever received. */
  get wasLive() {
    return this.#hasReceived;
  }

  /**
   * Ends within `ms` unless a frame is received. The transport is not to blame: the page or the network slept.
   *
   * @param {number} ms
   */
  probe(ms) {
    this.liveness.expect(ms, () => this.#silent(null));
  }

  /** Ends it without a further call of the watcher. */
  close() {
    this.#isOver = true;
    this.timers.clear(this.#timer);
    this.liveness.stop();
    this.#stream?.close(this.#isSuspect);
  }

  #listener() {
    return {
      opened: () => this.#isOver || this.#opened(),
      frame: (/** @type {Frame} */ frame) => this.#isOver || this.#received(frame),
      closed: (/** @type {number} */ code, /** @type {string} */ reason) => this.#end(code, reason, this.#blameFor(code)),
    };
  }

  #opened() {
    this.timers.clear(this.#timer);
    this.isOpen = true;
    this.#openedAtMs = this.timers.nowMs();
    this.liveness.received();
    this.watcher.opened(this);
  }

  /** @param {Frame} frame */
  #received(frame) {
    this.#hasReceived = true;
    this.#isSuspect = false;
    this.liveness.received();
    this.watcher.frame(this, frame);
  }

  #stale() {
    this.#isSuspect = true;
    this.watcher.stale();
  }

  /** @param {Blame|null} blame */
  #silent(blame) {
    this.#isSuspect = true;
    this.#end(1006, 'nothing heard', blame);
  }

  /**
   * @param {number} code
   * @returns {Blame|null}
   */
  #blameFor(code) {
    // The server chose this code, so its frames get through.
    if (code === 1012 || code >= 4000) return null;
    if (!this.isOpen) return 'unopened';
    if (!this.#hasReceived) return 'unheard';
    return this.aliveMs < SHORT_LIVED_MS ? 'cut' : null;
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {Blame|null} blame
   */
  #end(code, reason, blame) {
    if (this.#isOver) return;
    this.close();
    this.watcher.lost(this, { code, reason, blame });
  }
}
