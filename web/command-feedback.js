/** Feedback for a press: while no answer comes, and once its outcome is known. */

import { dismissToast, showProblem, showToast } from './toast.js';
import { PRESS_COUNTED, pressMessage, waitingMessage } from './messages.js';

// After this long without an answer the page says so.
const SLOW_AFTER_MS = 1000;

export class CommandFeedback {
  #isShown = false;
  #timer = 0;
  #stopListening;

  /** @param {import('/sdk/connection.js').Connection} connection */
  constructor(connection) {
    this.connection = connection;
    this.#stopListening = connection.on('state', () => this.#update());
    this.#timer = window.setTimeout(() => this.#showWaiting(), SLOW_AFTER_MS);
    this.#update();
  }

  /** The command was applied. */
  applied() {
    this.#stop();
    if (this.#isShown) showToast(PRESS_COUNTED);
  }

  /** @param {any} problem Why the command was refused, or not answered. */
  failed(problem) {
    this.#stop();
    if (!this.#isShown) return showProblem(problem);
    if (!this.#isAway()) return showToast(pressMessage(problem));
    showToast(pressMessage(problem), { stays: true });
    const stop = this.connection.on('state', (state) => {
      if (state !== 'live' && state !== 'closed') return;
      stop();
      // A user who looked away meanwhile still finds the outcome once the server is back.
      dismissToast(pressMessage(problem));
    });
  }

  #isAway() {
    return this.connection.state !== 'live' && this.connection.state !== 'closed';
  }

  #update() {
    if (this.#isAway()) this.#showWaiting();
  }

  #showWaiting() {
    if (this.connection.state === 'closed') return;
    this.#isShown = true;
    showToast(waitingMessage(this.connection.state), { stays: true });
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#stopListening();
  }
}
