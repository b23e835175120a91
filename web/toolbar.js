/** The row of commands under the clocks. */

import { startsInMs } from '/sdk/clock.js';
import { isOperator } from './access.js';
import { isSimultaneous } from './clocks.js';
import { byId, say } from './dom.js';
import { hasEnded, isTurnTaking, availableCommands, resetLabel } from './available-commands.js';
import { termsOf } from './terms.js';
import { confirmPress, resetConfirm, label } from './confirm.js';

export class Toolbar {
  /**
   * @param {(command: string) => void} request
   * @param {import('./access.js').Principal} principal
   */
  constructor(request, principal) {
    this.principal = principal;
    this.buttons = [...byId('toolbar').querySelectorAll('[data-command]')];
    for (const button of this.buttons) {
      button.addEventListener('click', (event) => confirmPress(event, () => request(button.dataset.command)));
    }
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   * @returns {boolean} Whether the button that had the focus is gone.
   */
  describe(session, nowMs) {
    const offers = availableCommands(session, nowMs, this.principal);
    const focused = document.activeElement;
    for (const button of this.buttons) {
      button.hidden = !offers.includes(button.dataset.command);
      // A hidden button forgets its question.
      if (button.hidden) resetConfirm(button);
    }
    const terms = termsOf(session);
    label(this.#of('switch'), terms.switch);
    label(this.#of('extend'), terms.extend);
    // The command used most is the primary one.
    this.#of('pause').classList.toggle('primary', !offers.includes('extend'));
    this.#of('switch').classList.toggle('primary', !isOperator(this.principal));
    this.#describeReset(session, nowMs);
    byId('another').hidden = !hasEnded(session) || !isOperator(this.principal);
    byId('toolbar').hidden = offers.length === 0 && byId('another').hidden && !this.#comesToTurn(session);
    this.#describeKeys(session);
    return this.buttons.includes(focused) && focused.hidden;
  }

  // A button that comes and goes with the turn keeps its place, or the clocks would move each time.
  #comesToTurn(session) {
    return this.principal.role === 'participant' && isTurnTaking(session) && !hasEnded(session);
  }

  #describeKeys(session) {
    const runsAll = isOperator(this.principal);
    const runsOwn = this.principal.role === 'participant';
    const handsOn = isTurnTaking(session);
    byId('space-hints').hidden = !runsAll && !runsOwn;
    byId('pause-hints').hidden = !runsAll && !(runsOwn && isSimultaneous(session));
    say(byId('space-hint'), handsOn ? 'hands on' : 'pauses and resumes');
  }

  // To cancel a scheduled start loses nothing; to reset a running clock loses its time.
  #describeReset(session, nowMs) {
    const button = this.#of('reset');
    const isToStart = startsInMs(session, nowMs) !== null;
    if (isToStart) resetConfirm(button);
    button.dataset.sure = isToStart ? '' : 'Really reset?';
    label(button, resetLabel(session, nowMs));
  }

  /** The first command on offer, for the keyboard. */
  focus() {
    this.buttons.find((button) => !button.hidden)?.focus({ preventScroll: true });
  }

  #of(command) {
    return this.buttons.find((button) => button.dataset.command === command);
  }
}
