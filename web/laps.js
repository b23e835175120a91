/** The laps of a stopwatch, as this window has seen them, newest first. */

import { clockText } from '/sdk/format.js';
import { byId, element } from './dom.js';

export class Laps {
  #count = 0;

  /** @param {import('/sdk/types.js').Frame} frame */
  take({ type, event, payload }) {
    if (type !== 'STATE_UPDATE' || payload?.sync_mode !== 'count_up') return;
    const outcome = event?.outcome;
    if (outcome?.type === 'switched') this.#add(outcome.charged_ms);
    if (payload.status === 'pending') this.#clear();
  }

  #add(ms) {
    this.#count += 1;
    const { text, fraction } = clockText(ms, 2);
    byId('laps').prepend(element('li', {}, element('span', {}, `Lap ${this.#count}`), element('strong', {}, text + fraction)));
    byId('laps').hidden = false;
  }

  #clear() {
    this.#count = 0;
    byId('laps').replaceChildren();
    byId('laps').hidden = true;
  }
}
