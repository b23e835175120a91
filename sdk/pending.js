/**
 * Commands that wait for their answer. Each keeps its key for as long as it
 * lives, so that sending it again after a reconnect cannot do it twice.
 *
 * @import {Frame} from './types.js'
 * @import {Timers} from './timers.js'
 *
 * @typedef {object} PendingCommand
 * @property {object} frame
 * @property {(answer: any) => void} resolve
 * @property {(problem: Error) => void} reject
 * @property {any} timer
 * @property {any} repeat The timer of the next repeat, if one is due.
 * @property {boolean} wasSent Whether it ever left here.
 */

import { newKey } from './keys.js';
import { Problem, unanswered, unsent } from './problem.js';

// Timer commands are live-only: what nobody answered by then, nobody wants any more.
const PATIENCE_MS = 10_000;
const AGAIN_MS = 500;

export class PendingCommands {
  /** @type {Map<string, PendingCommand>} */
  #wishes = new Map();

  /** @param {{timers: Timers, send: (frame: object) => boolean}} parts `send` says whether it could send it now. */
  constructor({ timers, send }) {
    this.timers = timers;
    this.send = send;
  }

  /**
   * @param {string} command
   * @param {object} fields
   * @returns {Promise<any>}
   */
  ask(command, fields) {
    const id = newKey();
    const frame = { type: 'COMMAND', id, command, idempotency_key: id, ...fields };
    return new Promise((resolve, reject) => {
      const timer = this.timers.set(() => this.#giveUp(id), PATIENCE_MS);
      this.#wishes.set(id, { frame, resolve, reject, timer, repeat: null, wasSent: false });
      this.#sendOnce(id);
    });
  }

  /** Sends everything unanswered once more, in the order it was asked. */
  resend() {
    for (const id of this.#wishes.keys()) this.#sendOnce(id);
  }

  /**
   * @param {string} id
   * @param {any} answer
   */
  granted(id, answer) {
    this.#settle(id, (command) => command.resolve(answer));
  }

  /**
   * @param {string} id
   * @param {object} body A problem document.
   */
  refused(id, body) {
    const problem = new Problem(body);
    if (problem.mayBeRepeated) this.#again(id, body.retry_after_ms ?? AGAIN_MS);
    else this.#settle(id, (command) => command.reject(problem));
  }

  /** @param {Error} problem */
  failAll(problem) {
    for (const id of [...this.#wishes.keys()]) this.#settle(id, (command) => command.reject(problem));
  }

  #again(id, ms) {
    const command = this.#wishes.get(id);
    if (!command) return;
    this.timers.clear(command.repeat);
    command.repeat = this.timers.set(() => this.#sendOnce(id), ms);
  }

  #sendOnce(id) {
    const command = this.#wishes.get(id);
    if (command && this.send(command.frame)) command.wasSent = true;
  }

  // What never left here was certainly not done; of the rest nobody knows.
  #giveUp(id) {
    this.#settle(id, (command) => command.reject(command.wasSent ? unanswered() : unsent()));
  }

  #settle(id, tell) {
    const command = this.#wishes.get(id);
    if (!command) return;
    this.#wishes.delete(id);
    this.timers.clear(command.timer);
    this.timers.clear(command.repeat);
    tell(command);
  }
}
