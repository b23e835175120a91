/** How long to wait before coming back: longer each time, and never all at once after a restart. */

// A restart takes seconds, and whoever waits for it shall not wait much longer than that.
const RETURN = { firstMs: 250, soonMs: 1500, soonTries: 20, mostMs: 15_000 };

export class Backoff {
  #tries = 0;

  /**
   * Doubles from `firstMs` to `mostMs`; with `soonMs` it stays there for `soonTries` on the way.
   *
   * @param {() => number} [random] in [0, 1)
   * @param {{firstMs: number, mostMs: number, soonMs?: number, soonTries?: number}} [spans]
   */
  constructor(random = Math.random, { firstMs, mostMs, soonMs = mostMs, soonTries = 0 } = RETURN) {
    Object.assign(this, { random, firstMs, mostMs, soonMs, soonTries });
  }

  /** Between half and the whole of a span that grows. */
  nextMs() {
    const most = Math.min(this.mostMs, this.#span());
    this.#tries += 1;
    return most * (0.5 + this.random() / 2);
  }

  reset() {
    this.#tries = 0;
  }

  #span() {
    if (this.#tries < this.soonTries) return Math.min(this.soonMs, this.firstMs * 2 ** this.#tries);
    const from = this.soonTries ? this.soonMs : this.firstMs;
    return from * 2 ** (this.#tries - this.soonTries);
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
