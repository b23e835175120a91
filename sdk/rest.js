/**
 * Plain requests: to create, to read, and to command where no stream works.
 *
 * @import {Snapshot} from './types.js'
 * @import {Tokens} from './tokens.js'
 */

import { authorization } from './address.js';
import { newKey } from './keys.js';
import { SyncKairosError, unreachable } from './problem.js';

const REQUEST_TIMEOUT_MS = 10_000;

// A request that could not be sent, by the codes of Node; browsers do not tell.
const UNSENT_CODES = ['ECONNREFUSED', 'ENOTFOUND'];

/** @typedef {{method: string, path: string, body?: object}} Route */

// Participants are a resource of their own in REST; streams have these commands instead.
/** @type {Record<string, (fields: any) => Route>} */
const ROUTES = {
  add_participant: (body) => ({ method: 'POST', path: '/participants', body }),
  change_participant: ({ participant_id: id, ...body }) => ({ method: 'PATCH', path: participantPath(id), body }),
  remove_participant: ({ participant_id: id, ...body }) => ({ method: 'DELETE', path: participantPath(id), body }),
  clone: ({ new_session_id: id, ...body }) => ({ method: 'POST', path: '/clone', body: { session_id: id, ...body } }),
  delete: (body) => ({ method: 'DELETE', path: '', body }),
};

export class Rest {
  /**
   * @param {object} parts
   * @param {string} parts.base
   * @param {string|null} [parts.token]
   * @param {Tokens} [parts.tokens] In place of `token`: where it is renewed.
   * @param {typeof globalThis.fetch} [parts.fetch]
   * @param {number} [parts.timeoutMs]
   */
  constructor({ base, token = null, tokens, fetch = (...args) => globalThis.fetch(...args), timeoutMs = REQUEST_TIMEOUT_MS }) {
    this.base = base;
    this.token = token;
    this.tokens = tokens;
    this.fetch = fetch;
    this.timeoutMs = timeoutMs;
  }

  /**
   * @param {object} config
   * @param {string} [key] The same for every retry.
   * @returns {Promise<Snapshot>}
   */
  create(config, key = newKey()) {
    return this.#request('POST', '/v1/sessions', config, key);
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
   * @returns {Promise<import('./types.js').CommandAnswer>}
   */
  command(sessionId, command, fields, key) {
    const route = ROUTES[command]?.(fields) ?? { method: 'POST', path: `/${command}`, body: fields };
    return this.#request(route.method, pathOf(sessionId) + route.path, route.body, key);
  }

  /**
   * The server's half of a four-stamp exchange.
   *
   * @param {number} originMs
   * @returns {Promise<{receive_ms: number, transmit_ms: number, uncertainty_ms?: number}>}
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

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @param {string} [key]
   * @returns {Promise<any>}
   */
  async #request(method, path, body, key) {
    const token = await this.#token();
    const init = { method, headers: headersOf(body, key, token), body: body && JSON.stringify(body) };
    const answer = await this.#send(path, init);
    if (answer.ok) this.tokens?.accepted();
    if (answer.status === 401 && (await this.tokens?.refused(token))) return this.#request(method, path, body, key);
    const read = await answer.json().catch(() => null);
    if (!answer.ok) throw new SyncKairosError({ status: answer.status, ...read });
    return read;
  }

  async #token() {
    return this.tokens ? this.tokens.get() : this.token;
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   */
  async #send(path, init) {
    try {
      return await this.fetch(this.base + path, { ...init, cache: 'no-store', signal: AbortSignal.timeout(this.timeoutMs) });
    } catch (error) {
      throw unreachable(error);
    }
  }
}

/**
 * Whether a request that could not be done was certainly not sent.
 *
 * @param {unknown} error
 */
export function isUnsent(error) {
  const { cause } = /** @type {any} */ (error);
  return globalThis.navigator?.onLine === false || UNSENT_CODES.includes((cause?.cause ?? cause)?.code);
}

/**
 * @param {object|undefined} body
 * @param {string|undefined} key
 * @param {string|null} token
 * @returns {Record<string, string>}
 */
function headersOf(body, key, token) {
  return {
    Accept: 'application/json',
    ...(body && { 'Content-Type': 'application/json' }),
    ...(key && { 'Idempotency-Key': key }),
    ...authorization(token),
  };
}

/** @param {string} sessionId */
function pathOf(sessionId) {
  return `/v1/sessions/${encodeURIComponent(sessionId)}`;
}

/** @param {string} id */
function participantPath(id) {
  return `/participants/${encodeURIComponent(id)}`;
}
