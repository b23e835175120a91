/** Gives each cue once: from the edges of the session, and from warnings of the server. */

import { edgesBetween, keyOf } from '/sdk/edges.js';

// Older cues are skipped: the page was hidden.
const MAX_LATENESS_MS = 1500;

export class Cues {
  #checkedAtMs = Infinity;
  #given = new Set();

  /** @param {(edge: import('/sdk/types.js').Edge) => void} give */
  constructor(give) {
    this.give = give;
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   */
  check(session, nowMs) {
    const from = Math.max(this.#checkedAtMs, nowMs - MAX_LATENESS_MS);
    this.#checkedAtMs = nowMs;
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
