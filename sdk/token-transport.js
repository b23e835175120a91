/**
 * A transport that gets its token from a callback: before it opens, again before the token ends, and once more where
 * the server refuses it.
 *
 * @import {Tokens} from './tokens.js'
 * @import {Listener, Stream, Transport} from './websocket.js'
 */

/** The close code of a refused or expired token. */
export const TOKEN_REFUSED = 4500;

// The library's own close code: come back, with the new token.
const TOKEN_RENEWED = 4000;

/**
 * @param {Transport} transport
 * @param {Tokens} tokens
 * @returns {Transport}
 */
export function withTokens(transport, tokens) {
  return (address, listener) => {
    const opening = new TokenStream(tokens, listener, (token, watched) => transport({ ...address, token }, watched));
    opening.open();
    return opening;
  };
}

/** @implements {Stream} */
class TokenStream {
  /** @type {Stream|null} */
  #stream = null;
  /** @type {string|null|undefined} */
  #used = undefined;
  #isOver = false;
  #forget = () => {};

  /**
   * @param {Tokens} tokens
   * @param {Listener} listener
   * @param {(token: string|null, listener: Listener) => Stream} connect
   */
  constructor(tokens, listener, connect) {
    this.tokens = tokens;
    this.listener = listener;
    this.connect = connect;
  }

  get send() {
    return this.#stream?.send ?? null;
  }

  open() {
    this.#forget = this.tokens.watch((token) => this.#renew(token));
    const { current } = this.tokens;
    if (current !== undefined) return this.#connect(current);
    this.tokens.get().then(
      (token) => this.#connect(token),
      () => this.#end(TOKEN_REFUSED, 'no valid token'),
    );
  }

  /** @param {boolean} [isSuspect] */
  close(isSuspect) {
    this.#isOver = true;
    this.#forget();
    this.#stream?.close(isSuspect);
  }

  /** @param {string|null} token */
  #connect(token) {
    if (this.#isOver) return;
    this.#used = token;
    this.#stream = this.connect(token, {
      opened: () => this.listener.opened(),
      frame: (frame) => {
        this.tokens.accepted();
        this.listener.frame(frame);
      },
      closed: (code, reason) => (code === TOKEN_REFUSED ? this.#refused(reason) : this.#end(code, reason)),
    });
    if (this.#isOver) this.#stream.close();
  }

  /** @param {string|null} token */
  #renew(token) {
    if (!this.#stream || token === null) return;
    this.#used = token;
    this.#stream.renew?.(token);
  }

  /** @param {string} reason */
  async #refused(reason) {
    const isRenewed = await this.tokens.refused(this.#used);
    this.#end(isRenewed ? TOKEN_RENEWED : TOKEN_REFUSED, reason);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (this.#isOver) return;
    this.close();
    this.listener.closed(code, reason);
  }
}
