/**
 * Commands of sessions that nobody follows here, as plain requests. One key serves every retry of one call, and no call
 * takes longer than its time-out.
 *
 * @import {Timers} from './timers.js'
 */

import { PendingCommands } from './pending.js';
import { problemOf } from './problem.js';
import { isUnsent } from './rest.js';

/** @typedef {(key: string) => Promise<any>} Request The key is that of idempotency. */

export class RestCommands {
  /** @param {{timers: Timers, timeoutMs: number}} parts */
  constructor({ timers, timeoutMs }) {
    this.pending = new PendingCommands({ timers, timeoutMs, send: (frame) => this.#send(frame) });
  }

  /**
   * @param {Request} request
   * @returns {Promise<any>}
   */
  run(request) {
    return this.pending.add('', { request });
  }

  /** @param {Error} problem Why none of them is waited for any more. */
  failAll(problem) {
    this.pending.failAll(problem);
  }

  /** @param {{id: string, request: Request, mayBeSent?: boolean}} frame */
  #send(frame) {
    frame.request(frame.id).then(
      (answer) => this.pending.applied(frame.id, answer),
      (error) => this.#failed(frame, problemOf(error)),
    );
    return true;
  }

  /**
   * @param {{id: string, mayBeSent?: boolean}} frame
   * @param {import('./problem.js').SyncKairosError} problem
   */
  #failed(frame, problem) {
    if (problem.code !== 'unreachable') return this.pending.refused(frame.id, problem.body);
    frame.mayBeSent ||= !isUnsent(problem);
    if (!frame.mayBeSent) this.pending.wasNotSent(frame.id);
    this.pending.repeat(frame.id);
  }
}
