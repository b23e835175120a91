/** How this window follows its session: which transport carries it, why, and which one to stay with. */

import { AUTOMATIC } from '/sdk/fallback.js';
import { byId, element, say } from './dom.js';
import { transportName, fallbackMessage } from './messages.js';

const KEPT_AS = 'synckairos.transport';

/** What this window was told to stay with before it was loaded again. */
export function chosenTransport(transports) {
  const kept = stored((store) => store.getItem(KEPT_AS));
  return kept && kept in transports ? kept : AUTOMATIC;
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
    stored((store) => store.setItem(KEPT_AS, name));
    this.connection.setTransport(name);
  }
}

function ago(ms) {
  return ms < 1000 ? 'just now' : `${Math.floor(ms / 1000)} s ago`;
}

// A browser may forbid it; then nothing is remembered.
function stored(ask) {
  try {
    return ask(sessionStorage);
  } catch {
    return null;
  }
}
