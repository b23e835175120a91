/** The row of commands under the clocks. */

import { byId, say } from './dom.js';
import { hasEnded, isTurnTaking, offersOf, resetLabel } from './offers.js';
import { termsOf } from './terms.js';
import { askTwice } from './twice.js';

export class Toolbar {
  /** @param {(command: string) => void} wish */
  constructor(wish) {
    this.buttons = [...byId('toolbar').querySelectorAll('[data-command]')];
    for (const button of this.buttons) {
      button.addEventListener('click', () => askTwice(button, () => wish(button.dataset.command)));
    }
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   * @returns {boolean} Whether the button that had the focus is gone.
   */
  describe(session, nowMs) {
    const offers = offersOf(session, nowMs);
    const focused = document.activeElement;
    for (const button of this.buttons) button.hidden = !offers.includes(button.dataset.command);
    const terms = termsOf(session);
    say(this.#of('switch'), terms.switch);
    say(this.#of('extend'), terms.extend);
    // What is done again and again stands out; pausing is then by the way.
    this.#of('pause').classList.toggle('primary', !offers.includes('extend'));
    say(this.#of('reset'), resetLabel(session, nowMs));
    byId('another').hidden = !hasEnded(session);
    say(byId('space-hint'), isTurnTaking(session) ? 'hands on' : 'pauses and resumes');
    return this.buttons.includes(focused) && focused.hidden;
  }

  /** The first command on offer, for the keyboard. */
  focus() {
    this.buttons.find((button) => !button.hidden)?.focus({ preventScroll: true });
  }

  #of(command) {
    return this.buttons.find((button) => button.dataset.command === command);
  }
}
