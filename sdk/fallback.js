/**
 * Chooses the transport: the best one, or the next where the network does not let it through,
 * and retries the better ones now and then. It opens and closes nothing itself.
 *
 * @import {Blame} from './attempt.js'
 * @import {Transport} from './websocket.js'
 */

import { Backoff } from './backoff.js';

/** The choice of the best transport that works; a name stays with that one. */
export const AUTOMATIC = 'automatic';

// The pauses between trials of better transports.
const TRIAL = { firstMs: 5000, maxMs: 300_000 };

// So many short-lived streams in a row may be chance.
const MAX_CUTS = 2;

export class Fallback {
  /** Why each transport failed when last tried. @type {Map<string, Blame>} */
  #blames = new Map();
  #at = 0;
  #cuts = 0;

  /** @param {{transports: Record<string, Transport>, choice?: string, random?: () => number}} parts Best first. */
  constructor({ transports, choice = AUTOMATIC, random }) {
    this.transports = transports;
    /** @type {string[]} */
    this.names = [];
    /** @type {string} */
    this.choice = choice;
    this.trials = new Backoff(random, TRIAL);
    this.choose(choice);
  }

  /**
   * Stays with one transport from now on, or begins again with the best.
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

  /** The name of the transport to use now. @returns {string} */
  get name() {
    return this.names[this.#at];
  }

  /** The better transports, best first. */
  get better() {
    return this.names.slice(0, this.#at);
  }

  /** Why each better transport failed. @returns {Record<string, Blame>} */
  get objections() {
    return Object.fromEntries([...this.#blames].filter(([name]) => this.better.includes(name)));
  }

  /** The time until the next trial of the better transports. */
  nextTrialMs() {
    return this.trials.nextMs();
  }

  /** The present transport has worked for a while. */
  markStable() {
    this.#cuts = 0;
    if (this.#at === 0) this.trials.reset();
  }

  /**
   * The server answers, but the present transport does not get through. Returns whether to try the next one at once;
   * after the last one comes the first again, after the usual backoff.
   *
   * @param {Blame} blame
   */
  reportFailure(blame) {
    if (blame === 'cut' && (this.#cuts += 1) <= MAX_CUTS) return false;
    this.#blames.set(this.name, blame);
    this.#cuts = 0;
    this.#at = (this.#at + 1) % this.names.length;
    return this.#at > 0;
  }

  /**
   * A trial of a better transport failed.
   *
   * @param {string} name
   * @param {Blame|null} blame
   */
  failedTrial(name, blame) {
    if (blame) this.#blames.set(name, blame);
  }

  /**
   * A better transport works again.
   *
   * @param {string} name
   */
  returned(name) {
    this.#at = this.names.indexOf(name);
  }
}
