/**
 * Every failure of the library as an error: a refusal of the server (a problem document, RFC 9457), or a failure of the
 * way to it.
 *
 * @import {Snapshot} from './types.js'
 *
 * @typedef {object} ProblemDocument
 * @property {string} [type]
 * @property {string} [code] Stable; the table of error codes in docs/API.md names each.
 * @property {string} [title]
 * @property {string} [detail]
 * @property {number} [status]
 * @property {string} [request_id]
 * @property {{pointer: string, detail: string}[]} [errors] Where parts of the request are wrong.
 * @property {Snapshot} [session] The present snapshot, for a refusal or a conflict.
 * @property {number} [retry_after_ms] Only where waiting helps.
 */

// A retry with the same key is safe, and may succeed.
const REPEATABLE = ['outcome_unknown', 'restoring', 'draining'];

export class SyncKairosError extends Error {
  /**
   * @param {ProblemDocument} body
   * @param {{cause?: unknown}} [options]
   */
  constructor(body, options) {
    super(body.detail ?? body.title ?? body.code ?? 'refused', options);
    this.name = 'SyncKairosError';
    /** Stable, such as `not_running`; the library's own are `unsent`, `unanswered`, `unreachable`, `closed` and `no_token`. */
    this.code = body.code ?? 'unknown';
    /** Of HTTP; 0 if no answer came. */
    this.status = body.status ?? 0;
    this.body = body;
  }

  /** The present snapshot, if the refusal brought it. @returns {Snapshot|null} */
  get session() {
    return this.body.session ?? null;
  }

  /** Whether a retry of the same command, with the same key, may succeed. */
  get mayBeRepeated() {
    return REPEATABLE.includes(this.code);
  }
}

/**
 * Anything thrown, as an error of this library.
 *
 * @param {unknown} error
 * @returns {SyncKairosError}
 */
export function problemOf(error) {
  if (error instanceof SyncKairosError) return error;
  return new SyncKairosError({ title: error instanceof Error ? error.message : String(error) }, { cause: error });
}

/**
 * The server could not be reached at all.
 *
 * @param {unknown} [cause]
 */
export function unreachable(cause) {
  return new SyncKairosError({ code: 'unreachable', title: 'The server cannot be reached' }, { cause });
}

/** The command was sent, and its outcome is unknown. */
export function unanswered() {
  return new SyncKairosError({ code: 'unanswered', title: 'The server did not answer; the outcome is unknown' });
}

/** The server was away: the command was never sent, so it was not applied. */
export function unsent() {
  return new SyncKairosError({ code: 'unsent', title: 'It was not sent, for the server was away' });
}

/** The connection is closed, so it takes no commands. */
export function closed() {
  return new SyncKairosError({ code: 'closed', title: 'The session is not followed any more' });
}

/**
 * The token callback gave no token that the server takes.
 *
 * @param {string} detail
 * @param {unknown} [cause]
 */
export function noToken(detail, cause) {
  return new SyncKairosError({ code: 'no_token', status: 401, title: 'There is no valid token', detail }, { cause });
}
