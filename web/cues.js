/** Which cues are due, each given once: from the session's own edges, and from warnings the server tells. */

import { edgesBetween, keyOf } from '/sdk/edges.js';

// A page that was hidden does not make up for what nobody saw.
const LATE_MS = 1500;

export class Cues {
  #lookedAtMs = Infinity;
  #given = new Set();

  /** @param {(edge: import('/sdk/types.js').Edge) => void} give */
  constructor(give) {
    this.give = give;
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   */
  look(session, nowMs) {
    const from = Math.max(this.#lookedAtMs, nowMs - LATE_MS);
    this.#lookedAtMs = nowMs;
    if (from < nowMs) edgesBetween(session, from, nowMs).forEach((edge) => this.once(edge));
  }

  /** @param {import('/sdk/types.js').Edge} edge */
  once(edge) {
    const key = keyOf(edge);
    if (this.#given.has(key)) return;
    this.#given.add(key);
    this.give(edge);
  }
}
