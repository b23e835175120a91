/** The row of commands under the clocks. */

import { byId, say } from './dom.js';
import { handOnLabel, hasEnded, isTurnTaking, offersOf, resetLabel } from './offers.js';

// A second press within this long means it.
const SURE_MS = 4000;

export class Toolbar {
  /** @param {(command: string) => void} wish */
  constructor(wish) {
    this.buttons = [...byId('toolbar').querySelectorAll('[data-command]')];
    for (const button of this.buttons) button.addEventListener('click', () => askTwice(button, wish));
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
    say(this.#of('switch'), handOnLabel(session));
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

// What cannot be taken back is asked twice, on the same spot.
function askTwice(button, wish) {
  const { command, sure, first } = button.dataset;
  if (!sure || first) return wish(command);
  button.dataset.first = button.textContent;
  button.textContent = sure;
  setTimeout(() => calm(button), SURE_MS);
}

function calm(button) {
  button.textContent = button.dataset.first;
  delete button.dataset.first;
}
