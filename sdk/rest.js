/**
 * Plain requests: to create, to read, and to command where no stream works.
 *
 * @import {Snapshot} from './types.js'
 */

import { newKey } from './keys.js';
import { Problem, unreachable } from './problem.js';

const REQUEST_TIMEOUT_MS = 10_000;

// Participants are a resource of their own in REST; streams have these commands instead.
const ROUTES = {
  add_participant: (body) => ({ method: 'POST', path: 'participants', body }),
  change_participant: ({ participant_id: id, ...body }) => ({ method: 'PATCH', path: participantPath(id), body }),
  remove_participant: ({ participant_id: id, ...body }) => ({ method: 'DELETE', path: participantPath(id), body }),
};

export class Rest {
  /** @param {{base: string, token?: string|null, fetch?: typeof fetch}} parts */
  constructor({ base, token = null, fetch = (...args) => globalThis.fetch(...args) }) {
    this.base = base;
    this.token = token;
    this.fetch = fetch;
  }

  /**
   * @param {object} config
   * @returns {Promise<Snapshot>}
   */
  create(config) {
    return this.#request('POST', '/v1/sessions', config, newKey());
  }

  /**
   * @param {string} sessionId
   * @returns {Promise<Snapshot>}
   */
  read(sessionId) {
    return this.#request('GET', pathOf(sessionId));
  }

  /**
   * @param {string} sessionId
   * @param {string} command
   * @param {object} fields
   * @param {string} key The same for every retry of one command.
   * @returns {Promise<Snapshot & {outcome: object}>}
   */
  command(sessionId, command, fields, key) {
    const route = ROUTES[command]?.(fields) ?? { method: 'POST', path: command, body: fields };
    return this.#request(route.method, `${pathOf(sessionId)}/${route.path}`, route.body, key);
  }

  /**
   * The server's half of a four-stamp exchange.
   *
   * @param {number} originMs
   * @returns {Promise<{receive_ms: number, transmit_ms: number}>}
   */
  time(originMs) {
    return this.#request('POST', '/v1/time', { origin_ms: originMs });
  }

  /**
   * Every change of a session, oldest first.
   *
   * @param {string} sessionId
   * @returns {AsyncGenerator<{version: number, change: {command: string, outcome: any}|null}>}
   */
  async *history(sessionId) {
    for (let cursor = null, isMore = true; isMore; ) {
      const after = cursor ? `?after=${encodeURIComponent(cursor)}` : '';
      const page = await this.#request('GET', `${pathOf(sessionId)}/history${after}`);
      yield* page.changes;
      cursor = page.next_cursor;
      isMore = Boolean(cursor);
    }
  }

  /**
   * The session at a past instant.
   *
   * @param {string} sessionId
   * @param {string} time RFC 3339
   * @returns {Promise<Snapshot>}
   */
  at(sessionId, time) {
    return this.#request('GET', `${pathOf(sessionId)}/at?time=${encodeURIComponent(time)}`);
  }

  /**
   * A token for one participant of the session, or for a viewer. It expires no later than the caller's own.
   *
   * @param {string} sessionId
   * @param {{participant_id?: string, sub?: string, ttl_ms?: number}} request `ttl_ms` from a second to 24 hours
   * @returns {Promise<{token: string, role: 'participant'|'viewer', expires_at: string}>}
   */
  createToken(sessionId, request) {
    return this.#request('POST', `${pathOf(sessionId)}/tokens`, request, newKey());
  }

  async #request(method, path, body, key) {
    const answer = await this.#send(method, path, body, key);
    const read = await answer.json().catch(() => null);
    if (!answer.ok) throw new Problem({ status: answer.status, ...read });
    return read;
  }

  async #send(method, path, body, key) {
    const headers = this.#headers(body, key);
    const init = { method, headers, body: body && JSON.stringify(body), cache: 'no-store' };
    try {
      return await this.fetch(this.base + path, { ...init, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    } catch {
      throw unreachable();
    }
  }

  #headers(body, key) {
    const headers = { Accept: 'application/json' };
    if (body) headers['Content-Type'] = 'application/json';
    if (key) headers['Idempotency-Key'] = key;
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    return headers;
  }
}

function pathOf(sessionId) {
  return `/v1/sessions/${encodeURIComponent(sessionId)}`;
}

function participantPath(id) {
  return `participants/${encodeURIComponent(id)}`;
}
