/** How long to wait before coming back: longer each time, and never all at once after a restart. */

const FIRST_MS = 250;
const MOST_MS = 15_000;

export class Backoff {
  #tries = 0;

  /** @param {() => number} [random] in [0, 1) */
  constructor(random = Math.random) {
    this.random = random;
  }

  /** Between half and the whole of a span that doubles. */
  nextMs() {
    const most = Math.min(MOST_MS, FIRST_MS * 2 ** this.#tries);
    this.#tries += 1;
    return most * (0.5 + this.random() / 2);
  }

  reset() {
    this.#tries = 0;
  }
}

/**
 * Whether a stream that closed with `code` is worth opening again. 4500 to 4999 say that
 * it would be refused in the same way; everything else is the network or the server's own trouble.
 *
 * @param {number} code
 */
export function comesBack(code) {
  return !(code >= 4500 && code <= 4999);
}
