/** The transport of this window: which one is in use, why, and the choice of another. */

import { AUTOMATIC } from '/sdk/fallback.js';
import { byId, element, say } from './dom.js';
import { transportName, fallbackMessage } from './messages.js';

const STORAGE_KEY = 'synckairos.transport';

/** The transport chosen before the page was reloaded. */
export function chosenTransport(transports) {
  const stored = withStorage((store) => store.getItem(STORAGE_KEY));
  return stored && stored in transports ? stored : AUTOMATIC;
}

export class TransportPicker {
  /** @param {import('/sdk/connection.js').Connection} connection */
  constructor(connection) {
    this.connection = connection;
    const names = [AUTOMATIC, ...Object.keys(connection.fallback.transports)];
    byId('transports').replaceChildren(...names.map((name) => this.#offer(name)));
    connection.on('transport', () => this.paint());
    this.paint();
  }

  paint() {
    const { transport, fallback, silentMs } = this.connection;
    const name = transportName(transport);
    say(byId('transport'), name);
    say(byId('transport-now'), name);
    say(byId('heard'), silentMs === null ? 'nothing heard yet' : `heard ${ago(silentMs)}`);
    const why = fallbackMessage(transport, fallback.objections);
    byId('transport-why').hidden = !why;
    say(byId('transport-why'), why);
  }

  #offer(name) {
    const isChosen = name === this.connection.fallback.choice;
    const radio = element('input', { type: 'radio', name: 'transport', value: name, checked: isChosen });
    radio.addEventListener('change', () => this.#choose(name));
    return element('label', {}, radio, element('span', {}, transportName(name)));
  }

  #choose(name) {
    withStorage((store) => store.setItem(STORAGE_KEY, name));
    this.connection.setTransport(name);
  }
}

function ago(ms) {
  return ms < 1000 ? 'just now' : `${Math.floor(ms / 1000)} s ago`;
}

// A browser may forbid storage; then the choice is not remembered.
function withStorage(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}
