/** What somebody who pressed is told while no answer comes, and once it is known whether the press counted. */

import { dismissToast, showProblem, showToast } from './toast.js';
import { PRESS_COUNTED, pressMessage, waitingMessage } from './messages.js';

// An answer that takes longer than this is missed.
const SLOW_MS = 1000;

export class CommandFeedback {
  #isSaid = false;
  #timer = 0;
  #stopListening;

  /** @param {import('/sdk/connection.js').Connection} connection */
  constructor(connection) {
    this.connection = connection;
    this.#stopListening = connection.on('state', () => this.#look());
    this.#timer = window.setTimeout(() => this.#say(), SLOW_MS);
    this.#look();
  }

  /** The press was granted. */
  counted() {
    this.#stop();
    if (this.#isSaid) showToast(PRESS_COUNTED);
  }

  /** @param {any} problem Why the press was refused, or was never answered. */
  failed(problem) {
    this.#stop();
    if (!this.#isSaid) return showProblem(problem);
    if (!this.#isAway()) return showToast(pressMessage(problem));
    showToast(pressMessage(problem), { stays: true });
    const stop = this.connection.on('state', (state) => {
      if (state !== 'live' && state !== 'closed') return;
      stop();
      // Whoever looked away while the server was gone still finds the outcome when it is back.
      dismissToast(pressMessage(problem));
    });
  }

  #isAway() {
    return this.connection.state !== 'live' && this.connection.state !== 'closed';
  }

  #look() {
    if (this.#isAway()) this.#say();
  }

  #say() {
    if (this.connection.state === 'closed') return;
    this.#isSaid = true;
    showToast(waitingMessage(this.connection.state), { stays: true });
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#stopListening();
  }
}
