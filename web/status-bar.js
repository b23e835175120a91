/** The state of the connection: transport, offset, round trip. */

import { byId, mark, say } from './dom.js';
import { TransportPicker } from './transport-picker.js';

const PILLS = { connecting: 'Connecting', live: 'Live', stale: 'Stale', away: 'Server away', closed: 'Closed' };

const BANNERS = {
  stale: 'Stale: nothing is heard from the server, so these clocks may be out of date.',
  away: 'The server is away; trying again. These clocks may be out of date.',
};

export class StatusBar {
  /** @param {import('/sdk/connection.js').Connection} connection */
  constructor(connection) {
    this.connection = connection;
    this.picker = new TransportPicker(connection);
    byId('meters').hidden = false;
    byId('try-now').addEventListener('click', () => connection.reconnectNow());
    // Silence has no event of its own.
    setInterval(() => this.paint(), 1000);
  }

  paint() {
    const { state, session } = this.connection;
    mark(byId('status'), 'data-state', state);
    mark(document.body, 'data-state', state);
    say(byId('status'), PILLS[state] + this.#silence());
    say(byId('banner-text'), session ? (BANNERS[state] ?? '') : 'The server cannot be reached; trying again.');
    byId('banner').hidden = !(state in BANNERS);
    byId('try-now').hidden = state !== 'away';
    this.#paintSync();
    this.picker.paint();
  }

  #silence() {
    const { state, silentMs } = this.connection;
    return state === 'stale' ? ` for ${Math.round(silentMs / 1000)} s` : '';
  }

  #paintSync() {
    const { sync } = this.connection;
    if (!sync.hasSample) return;
    say(byId('offset'), `${signed(sync.now() - Date.now())} ms`);
    say(byId('round-trip'), `${sync.roundTrip.toFixed(1)} ms`);
  }
}

// The correction that this device's own clock would need.
function signed(ms) {
  const rounded = Math.abs(ms) < 10_000 ? ms.toFixed(1) : String(Math.round(ms));
  return `${ms < 0 ? '−' : '+'}${rounded.replace('-', '')}`;
}
