/** The laps of a stopwatch, newest first: from its history, and from frames. */

import { clockText } from '/sdk/format.js';
import { byId, element, say } from './dom.js';

export class Laps {
  /** By version, so that each lap counts once, in any order. @type {Map<number, number>} */
  #laps = new Map();
  #resetAt = 0;
  #sumMs = 0;
  #row = rowOf();

  /** @param {import('/sdk/rest.js').Rest} rest */
  constructor(rest) {
    this.rest = rest;
  }

  /**
   * Loads the laps from before this window was opened, or while it had no stream.
   *
   * @param {import('/sdk/types.js').Snapshot} session
   */
  async load(session) {
    if (session.sync_mode !== 'count_up' || session.version < 2) return;
    for await (const { version, change } of this.rest.history(session.session_id)) this.#record(version, change);
    this.#show();
  }

  /** @param {import('/sdk/types.js').Frame} frame */
  receive({ type, event, payload }) {
    if (type !== 'STATE_UPDATE' || payload?.sync_mode !== 'count_up') return;
    this.#record(payload.version, event);
    this.#show();
  }

  /**
   * Paints the present lap; `elapsedMs` is the time of all laps.
   *
   * @param {number} elapsedMs
   */
  paint(elapsedMs) {
    if (this.#row.hidden) return;
    write(this.#row, this.#row.dataset.present, Math.max(0, elapsedMs - this.#sumMs));
  }

  #record(version, change) {
    const { command, outcome } = change ?? {};
    if (command === 'switch') this.#laps.set(version, outcome.charged_ms);
    if (command === 'reset') this.#resetAt = Math.max(this.#resetAt, version);
  }

  #sinceReset() {
    return [...this.#laps].filter(([version]) => version > this.#resetAt).sort(([a], [b]) => a - b);
  }

  #show() {
    const laps = this.#sinceReset();
    this.#sumMs = laps.reduce((sum, [, ms]) => sum + ms, 0);
    this.#row.dataset.present = String(laps.length + 1);
    this.#row.hidden = byId('laps').hidden = laps.length === 0;
    const rows = laps.map(([, ms], at) => write(rowOf(), String(at + 1), ms));
    byId('laps').replaceChildren(this.#row, ...rows.reverse());
  }
}

function rowOf() {
  return element('li', {}, element('span'), element('strong'));
}

function write(row, number, ms) {
  const { text, fraction } = clockText(ms, 2);
  say(row.firstChild, `Lap ${number}`);
  say(row.lastChild, text + fraction);
  return row;
}
