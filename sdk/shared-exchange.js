/**
 * One measurement of the offset for all connections of a client: the pings go over one of those that are open.
 *
 * @import {ClockSync} from './sync.js'
 * @import {Timers} from './timers.js'
 *
 * @typedef {Pick<Exchange, 'start'|'stop'|'pong'>} Member The part of one connection.
 */

import { Exchange } from './exchange.js';

export class SharedExchange {
  /** @type {Map<Member, (frame: object) => void>} */
  #senders = new Map();
  /** @type {Member|null} */
  #current = null;

  /** @param {{sync: ClockSync, timers: Timers}} parts */
  constructor(parts) {
    this.exchange = new Exchange(parts);
  }

  /** @returns {Member} */
  member() {
    /** @type {Member} */
    const member = {
      start: (send) => this.#start(member, send),
      stop: () => this.#stop(member),
      pong: (pong) => this.exchange.pong(pong),
    };
    return member;
  }

  /**
   * @param {Member} member
   * @param {(frame: object) => void} send
   */
  #start(member, send) {
    this.#senders.set(member, send);
    this.#current ??= member;
    if (this.#current === member) this.exchange.start(send);
  }

  /** @param {Member} member */
  #stop(member) {
    this.#senders.delete(member);
    if (this.#current !== member) return;
    const [next] = this.#senders;
    this.#current = next?.[0] ?? null;
    if (next) this.exchange.start(next[1]);
    else this.exchange.stop();
  }
}
