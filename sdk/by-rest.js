/**
 * What a connection says by plain requests while its stream only receives.
 *
 * @import {Member} from './shared-exchange.js'
 * @import {PendingCommands} from './pending.js'
 * @import {Rest} from './rest.js'
 */

import { problemOf } from './problem.js';

export class ByRest {
  /** @param {{sessionId: string, rest: Rest, pending: PendingCommands, exchange: Member}} parts */
  constructor({ sessionId, rest, pending, exchange }) {
    this.sessionId = sessionId;
    this.rest = rest;
    this.pending = pending;
    this.exchange = exchange;
  }

  /** @param {any} frame A `COMMAND`. */
  async command({ type: _type, id, command, idempotency_key: key, ...fields }) {
    try {
      this.pending.applied(id, await this.rest.command(this.sessionId, command, fields, key));
    } catch (error) {
      const problem = problemOf(error);
      if (problem.code !== 'unreachable') this.pending.refused(id, problem.body);
    }
  }

  /** @param {any} frame A `PING`. */
  async ping({ timestamp }) {
    const stamps = await this.rest.time(timestamp).catch(() => null);
    if (!stamps) return;
    const { receive_ms: received, transmit_ms: sent, uncertainty_ms: uncertainty } = stamps;
    this.exchange.pong({ timestamp, received_at_ms: received, sent_at_ms: sent, uncertainty_ms: uncertainty });
  }
}
