/**
 * Commands that wait for their answer. Each keeps its idempotency key, so that sending it
 * again after a reconnect cannot apply it twice.
 *
 * @import {Timers} from './timers.js'
 *
 * @typedef {object} PendingCommand
 * @property {object} frame
 * @property {(answer: any) => void} resolve
 * @property {(problem: Error) => void} reject
 * @property {any} timer
 * @property {any} repeat The timer of the next repeat, if one is due.
 * @property {boolean} wasSent Whether it was ever sent.
 */

import { newKey } from './keys.js';
import { SyncKairosError, unanswered, unsent } from './problem.js';

// Timer commands are live-only: after this long the caller decides anew.
const COMMAND_TIMEOUT_MS = 10_000;
const RETRY_INTERVAL_MS = 500;

export class PendingCommands {
  /** @type {Map<string, PendingCommand>} */
  #commands = new Map();

  /**
   * @param {object} parts
   * @param {Timers} parts.timers
   * @param {(frame: any) => boolean} parts.send Returns whether it could send the frame now.
   * @param {number} [parts.timeoutMs]
   */
  constructor({ timers, send, timeoutMs = COMMAND_TIMEOUT_MS }) {
    this.timers = timers;
    this.send = send;
    this.timeoutMs = timeoutMs;
  }

  /**
   * @param {string} command
   * @param {object} fields
   * @returns {Promise<any>}
   */
  add(command, fields) {
    const id = newKey();
    const frame = { type: 'COMMAND', id, command, idempotency_key: id, ...fields };
    return new Promise((resolve, reject) => {
      const timer = this.timers.set(() => this.#timeOut(id), this.timeoutMs);
      this.#commands.set(id, { frame, resolve, reject, timer, repeat: null, wasSent: false });
      this.#sendOnce(id);
    });
  }

  /** Sends all unanswered commands again, in their order. */
  resend() {
    for (const id of this.#commands.keys()) this.#sendOnce(id);
  }

  /**
   * @param {string} id
   * @param {any} answer
   */
  applied(id, answer) {
    this.#finish(id, (command) => command.resolve(answer));
  }

  /**
   * @param {string} id
   * @param {import('./problem.js').ProblemDocument} body
   */
  refused(id, body) {
    const problem = new SyncKairosError(body);
    if (problem.mayBeRepeated) this.repeat(id, body.retry_after_ms);
    else this.#finish(id, (command) => command.reject(problem));
  }

  /**
   * A command was not sent after all.
   *
   * @param {string} id
   */
  wasNotSent(id) {
    const command = this.#commands.get(id);
    if (command) command.wasSent = false;
  }

  /** @param {Error} problem */
  failAll(problem) {
    for (const id of [...this.#commands.keys()]) this.#finish(id, (command) => command.reject(problem));
  }

  /**
   * Sends a command again after a while.
   *
   * @param {string} id
   * @param {number} [ms]
   */
  repeat(id, ms = RETRY_INTERVAL_MS) {
    const command = this.#commands.get(id);
    if (!command) return;
    this.timers.clear(command.repeat);
    command.repeat = this.timers.set(() => this.#sendOnce(id), ms);
  }

  /** @param {string} id */
  #sendOnce(id) {
    const command = this.#commands.get(id);
    if (command && this.send(command.frame)) command.wasSent = true;
  }

  // A command that was never sent was not applied; the outcome of a sent one is unknown.
  /** @param {string} id */
  #timeOut(id) {
    this.#finish(id, (command) => command.reject(command.wasSent ? unanswered() : unsent()));
  }

  /**
   * @param {string} id
   * @param {(command: PendingCommand) => void} settle
   */
  #finish(id, settle) {
    const command = this.#commands.get(id);
    if (!command) return;
    this.#commands.delete(id);
    this.timers.clear(command.timer);
    this.timers.clear(command.repeat);
    settle(command);
  }
}
