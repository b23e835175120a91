/**
 * One try of one transport, from opening it to its end: whether it opens,
 * whether anything is heard on it, and, when it is lost, what that says of it.
 *
 * @import {Address} from './address.js'
 * @import {Frame} from './types.js'
 * @import {Stream, Transport} from './websocket.js'
 * @import {Timers} from './timers.js'
 *
 * @typedef {'unopened'|'unheard'|'silent'|'cut'} Blame What speaks against a transport: it would not
 *   open; nothing came, be it opened or not; it worked, then nothing was heard; it worked for a moment only.
 *
 * @typedef {object} Loss
 * @property {number} code
 * @property {string} reason
 * @property {Blame|null} blame null: nothing speaks against the transport.
 *
 * @typedef {object} Watcher
 * @property {(attempt: Attempt) => void} opened
 * @property {(attempt: Attempt, frame: Frame) => void} frame
 * @property {() => void} stale
 * @property {(attempt: Attempt, loss: Loss) => void} lost
 */

import { Liveness } from './liveness.js';

// A server that takes a connection and says nothing is as good as away.
const OPENING_MS = 8000;

// What is cut sooner than this was hardly let through.
const SHORT_MS = 5000;

export class Attempt {
  isOpen = false;
  #wasHeard = false;
  #isOver = false;
  #openedAtMs = 0;
  /** @type {Stream|null} */
  #stream = null;
  #timer = null;

  /** @param {{name: string, transport: Transport, address: Address, timers: Timers, isNew: (frame: Frame) => boolean, watcher: Watcher}} parts */
  constructor({ name, transport, address, timers, isNew, watcher }) {
    Object.assign(this, { name, transport, address, timers, isNew, watcher });
    this.liveness = new Liveness({
      timers,
      heartbeatMs: address.heartbeatMs,
      stale: () => this.watcher.stale(),
      dead: () => this.#end(1006, 'nothing heard', this.#wasHeard ? 'silent' : 'unheard'),
    });
  }

  open() {
    this.#timer = this.timers.set(() => this.#end(1006, 'no answer', 'unheard'), OPENING_MS);
    try {
      this.#stream = this.transport(this.address, this.#listener());
    } catch {
      // What the platform forbids outright is told like any other end, later.
      this.timers.clear(this.#timer);
      this.#timer = this.timers.set(() => this.#end(1006, 'cannot be opened', 'unopened'), 0);
    }
    return this;
  }

  /** How to speak on it; null where it only listens, or is not open. */
  get send() {
    return this.isOpen ? this.#stream.send : null;
  }

  /** For how long it has been open. */
  get aliveMs() {
    return this.isOpen ? this.timers.nowMs() - this.#openedAtMs : 0;
  }

  /** Ends it; nothing is told of it any more. */
  close() {
    this.#isOver = true;
    this.timers.clear(this.#timer);
    this.liveness.stop();
    this.#stream?.close();
  }

  #listener() {
    return {
      opened: () => this.#isOver || this.#opened(),
      frame: (frame) => this.#isOver || this.#heard(frame),
      closed: (code, reason) => this.#end(code, reason, this.#blameFor(code)),
    };
  }

  #opened() {
    this.timers.clear(this.#timer);
    this.isOpen = true;
    this.#openedAtMs = this.timers.nowMs();
    this.liveness.heard();
    this.watcher.opened(this);
  }

  #heard(frame) {
    this.#wasHeard = true;
    this.liveness.heard();
    this.watcher.frame(this, frame);
  }

  #blameFor(code) {
    // The server itself said so, hence its words get through.
    if (code === 1012 || code >= 4000) return null;
    if (!this.isOpen) return 'unopened';
    if (!this.#wasHeard) return 'unheard';
    return this.aliveMs < SHORT_MS ? 'cut' : null;
  }

  #end(code, reason, blame) {
    if (this.#isOver) return;
    this.close();
    this.watcher.lost(this, { code, reason, blame });
  }
}
