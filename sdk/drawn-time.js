/**
 * Cluster time for a component: drawn again in every frame, or each time another step has passed.
 *
 * @import {SyncKairosClient} from './client.js'
 */

import { Display } from './display.js';

export class DrawnTime {
  /** Unix ms, as drawn last. @type {number|null} */
  ms = null;
  #changed = () => {};
  #display = new Display(() => this.#draw());

  /**
   * @param {SyncKairosClient|null} client
   * @param {number} stepMs 0: every frame.
   */
  constructor(client, stepMs) {
    this.client = client;
    this.stepMs = stepMs;
    this.ms = this.#now();
  }

  /**
   * @param {() => void} changed
   * @returns {() => void}
   */
  subscribe = (changed) => {
    this.#changed = changed;
    measure(this.client);
    this.#display.request();
    return () => this.#display.stop();
  };

  #draw() {
    this.ms = this.#now();
    if (this.ms === null) return;
    this.#changed();
    if (this.stepMs > 0) this.#display.requestIn(this.stepMs - (this.ms % this.stepMs));
    else this.#display.request();
  }

  #now() {
    return this.client?.getServerTime() ?? null;
  }
}

/**
 * Measures cluster time where nothing has done so yet. A session that is followed measures it from then on.
 *
 * @param {SyncKairosClient|null} client
 */
export function measure(client) {
  // A failure changes nothing: the device's own time goes on counting.
  if (client && !client.clock.hasSample) client.syncServerTime().catch(() => {});
}
