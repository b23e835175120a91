/** The pause before a retry: longer each time, with jitter, so that clients do not return all at once. */

// A restart takes seconds; the plateau keeps clients from waiting much longer than that.
export const RECONNECT = { firstMs: 250, plateauMs: 1500, plateauTries: 20, maxMs: 15_000 };

export class Backoff {
  #tries = 0;

  /**
   * Doubles from `firstMs` to `maxMs`; with `plateauMs` it stays there for `plateauTries` on the way.
   *
   * @param {() => number} [random] in [0, 1)
   * @param {{firstMs: number, maxMs: number, plateauMs?: number, plateauTries?: number}} [spans]
   */
  constructor(random = Math.random, { firstMs, maxMs, plateauMs = maxMs, plateauTries = 0 } = RECONNECT) {
    this.random = random;
    this.firstMs = firstMs;
    this.maxMs = maxMs;
    this.plateauMs = Math.max(plateauMs, firstMs);
    this.plateauTries = plateauTries;
  }

  /** The next pause: between half and the whole of a growing span. */
  nextMs() {
    const max = Math.min(this.maxMs, this.#span());
    this.#tries += 1;
    return max * (0.5 + this.random() / 2);
  }

  reset() {
    this.#tries = 0;
  }

  #span() {
    if (this.#tries < this.plateauTries) return Math.min(this.plateauMs, this.firstMs * 2 ** this.#tries);
    const from = this.plateauTries ? this.plateauMs : this.firstMs;
    return from * 2 ** (this.#tries - this.plateauTries);
  }
}

/**
 * Whether to open a stream again that closed with `code`. After 4500 to 4999 the server would refuse it
 * again; every other code is a failure of the network or the server.
 *
 * @param {number} code
 */
export function isRetryable(code) {
  return !(code >= 4500 && code <= 4999);
}
