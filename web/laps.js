/** The laps of a stopwatch, newest first: from its history, and from the frames that come. */

import { clockText } from '/sdk/format.js';
import { byId, element, say } from './dom.js';

export class Laps {
  /** By version, so that what is told twice is counted once, in whatever order it comes. @type {Map<number, number>} */
  #laps = new Map();
  #resetAt = 0;

  /** @param {import('/sdk/rest.js').Rest} rest */
  constructor(rest) {
    this.rest = rest;
  }

  /**
   * What happened before this window was opened, or while it heard nothing.
   *
   * @param {import('/sdk/types.js').Snapshot} session
   */
  async recall(session) {
    if (session.sync_mode !== 'count_up' || session.version < 2) return;
    for await (const { version, change } of this.rest.history(session.session_id)) this.#note(version, change);
    this.#show();
  }

  /** @param {import('/sdk/types.js').Frame} frame */
  take({ type, event, payload }) {
    if (type !== 'STATE_UPDATE' || payload?.sync_mode !== 'count_up') return;
    this.#note(payload.version, event);
    this.#show();
  }

  /**
   * What the lap that is being run has used, where `elapsedMs` is all.
   *
   * @param {number} elapsedMs
   */
  present(elapsedMs) {
    const laps = this.#kept().map(([, ms]) => ms);
    return { number: laps.length + 1, ms: Math.max(0, elapsedMs - laps.reduce((sum, ms) => sum + ms, 0)) };
  }

  #note(version, change) {
    const { command, outcome } = change ?? {};
    if (command === 'switch') this.#laps.set(version, outcome.charged_ms);
    if (command === 'reset') this.#resetAt = Math.max(this.#resetAt, version);
  }

  #kept() {
    return [...this.#laps].filter(([version]) => version > this.#resetAt).sort(([a], [b]) => a - b);
  }

  #show() {
    const kept = this.#kept();
    const list = byId('laps');
    list.hidden = kept.length === 0;
    while (list.children.length > kept.length) list.lastElementChild.remove();
    while (list.children.length < kept.length) list.append(element('li', {}, element('span'), element('strong')));
    kept.reverse().forEach(([, ms], at) => {
      const { text, fraction } = clockText(ms, 2);
      say(list.children[at].firstChild, `Lap ${kept.length - at}`);
      say(list.children[at].lastChild, text + fraction);
    });
  }
}
