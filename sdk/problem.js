/** A problem document (RFC 9457) as an error: what the server, or the way to it, had against something. */

export class Problem extends Error {
  /** @param {{code?: string, title?: string, detail?: string, status?: number, [more: string]: any}} body */
  constructor(body) {
    super(body.detail ?? body.title ?? body.code ?? 'refused');
    this.name = 'Problem';
    this.code = body.code ?? 'unknown';
    this.status = body.status ?? 0;
    this.body = body;
  }

  /** Whether the same wish, with the same key, may be sent again and may then be granted. */
  get mayBeRepeated() {
    return ['outcome_unknown', 'restoring', 'draining'].includes(this.code);
  }
}

/** The server could not be reached at all. */
export function unreachable() {
  return new Problem({ code: 'unreachable', title: 'The server cannot be reached' });
}

/** It was sent, and nobody said what became of it. */
export function unanswered() {
  return new Problem({ code: 'unanswered', title: 'The server did not answer' });
}

/** The server was away all the time: it was never sent, so it was not done. */
export function unsent() {
  return new Problem({ code: 'unsent', title: 'It was not sent, for the server was away' });
}

/** The session is not followed, so nothing can be asked of it here. */
export function closed() {
  return new Problem({ code: 'closed', title: 'The session is not followed any more' });
}
