/**
 * Which transport to use: the best there is, a lesser one where the network does
 * not let it through, and the better ones again now and then. Decides only; others open and close.
 *
 * @import {Blame} from './attempt.js'
 * @import {Transport} from './websocket.js'
 */

import { Backoff } from './backoff.js';

/** The best that works; a name instead stays with that one. */
export const AUTOMATIC = 'automatic';

// A better transport is tried again after so long, then ever more seldom.
const TRIAL = { firstMs: 5000, mostMs: 300_000 };

// One that was cut after a moment may have been unlucky; so often in a row it was not.
const UNLUCKY = 2;

export class Fallback {
  /** What spoke against a transport when it was last tried. @type {Map<string, Blame>} */
  #blames = new Map();
  #at = 0;
  #cuts = 0;

  /** @param {{transports: Record<string, Transport>, choice?: string, random?: () => number}} parts Best first. */
  constructor({ transports, choice = AUTOMATIC, random }) {
    this.transports = transports;
    this.trials = new Backoff(random, TRIAL);
    this.choose(choice);
  }

  /**
   * Stays with one transport from here on, or begins anew with the best.
   *
   * @param {string} choice
   */
  choose(choice) {
    const all = Object.keys(this.transports);
    if (choice !== AUTOMATIC && !all.includes(choice)) throw new RangeError(`there is no transport “${choice}” here`);
    this.choice = choice;
    this.names = choice === AUTOMATIC ? all : [choice];
    this.#blames.clear();
    this.#at = this.#cuts = 0;
    this.trials.reset();
  }

  /** The name of the one to use now. */
  get name() {
    return this.names[this.#at];
  }

  /** Those that would be better, best first. */
  get better() {
    return this.names.slice(0, this.#at);
  }

  /** What speaks against those, by name. @returns {Record<string, Blame>} */
  get objections() {
    return Object.fromEntries([...this.#blames].filter(([name]) => this.better.includes(name)));
  }

  /** How long to stay before the better ones are tried again. */
  nextTrialMs() {
    return this.trials.nextMs();
  }

  /** The present one is heard, and has been for a while. */
  markStable() {
    this.#cuts = 0;
    if (this.#at === 0) this.trials.reset();
  }

  /**
   * The server answers, and the present transport does not get through. Whether there is another to go on with at once;
   * after the last it begins with the first again, when its time comes.
   *
   * @param {Blame} blame
   */
  reportFailure(blame) {
    if (blame === 'cut' && (this.#cuts += 1) <= UNLUCKY) return false;
    this.#blames.set(this.name, blame);
    this.#cuts = 0;
    this.#at = (this.#at + 1) % this.names.length;
    return this.#at > 0;
  }

  /**
   * A better one was tried beside the present, in vain.
   *
   * @param {string} name
   * @param {Blame|null} blame
   */
  failedTrial(name, blame) {
    if (blame) this.#blames.set(name, blame);
  }

  /**
   * A better one is heard again.
   *
   * @param {string} name
   */
  returned(name) {
    this.#at = this.names.indexOf(name);
  }
}
