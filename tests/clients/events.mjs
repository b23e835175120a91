/** An `EventSource` of the npm package of that name, or of another, unmodified, with a memory. */

import { EventSource } from 'eventsource';
import { until } from '../service/server.mjs';

const TYPES = ['STATE_SYNC', 'STATE_UPDATE', 'TIME_EXPIRED', 'SESSION_DELETED', 'CLOSE'];

/** Follows what is at `url`, and notes every event that is no heartbeat. */
export class Follower {
  /** @type {{type: string, id: string, data: any, atMs: number}[]} */
  events = [];
  /** Codes of its errors, and how often it opened. */
  errors = [];
  opened = 0;

  constructor(url, Source = EventSource) {
    this.source = new Source(url);
    this.source.addEventListener('open', () => (this.opened += 1));
    this.source.addEventListener('error', ({ code }) => this.errors.push(code));
    for (const type of TYPES) this.source.addEventListener(type, (event) => this.#note(type, event));
  }

  /** Until it has heard of `position`; gives all events so far, each as `TYPE version`. */
  async until(position, withinMs) {
    const heard = () => this.events.find(({ type, data }) => type.startsWith('STATE') && data.position === position);
    const found = await until(`${position} is heard of`, heard, withinMs);
    return { found, told: this.told() };
  }

  told() {
    return this.events.map(({ type, data }) => (data.position ? `${type} ${data.position.split('-')[1]}` : type));
  }

  /** Forgets what it heard so far. */
  forget() {
    this.events = [];
  }

  close() {
    this.source.close();
  }

  #note(type, { data, lastEventId }) {
    this.events.push({ type, id: lastEventId, data: JSON.parse(data), atMs: performance.now() });
  }
}
