/** A problem document (RFC 9457) as an error: of the server, or of the connection to it. */

export class Problem extends Error {
  /** @param {{code?: string, title?: string, detail?: string, status?: number, [more: string]: any}} body */
  constructor(body) {
    super(body.detail ?? body.title ?? body.code ?? 'refused');
    this.name = 'Problem';
    this.code = body.code ?? 'unknown';
    this.status = body.status ?? 0;
    this.body = body;
  }

  /** Whether a retry of the same command, with the same key, may succeed. */
  get mayBeRepeated() {
    return ['outcome_unknown', 'restoring', 'draining'].includes(this.code);
  }
}

/** The server could not be reached at all. */
export function unreachable() {
  return new Problem({ code: 'unreachable', title: 'The server cannot be reached' });
}

/** The command was sent, and its outcome is unknown. */
export function unanswered() {
  return new Problem({ code: 'unanswered', title: 'The server did not answer' });
}

/** The server was away: the command was never sent, so it was not applied. */
export function unsent() {
  return new Problem({ code: 'unsent', title: 'It was not sent, for the server was away' });
}

/** The connection is closed, so it takes no commands. */
export function closed() {
  return new Problem({ code: 'closed', title: 'The session is not followed any more' });
}
