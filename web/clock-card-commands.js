/** The small buttons under one clock. */

import { element, mark } from './dom.js';
import { confirmPress } from './confirm.js';

export class ClockCardCommands {
  /** @type {Map<string, any>} */
  #buttons = new Map();
  #offers = new Map();

  /** @param {(offer: import('./available-clock-commands.js').ClockOffer) => void} request */
  constructor(request) {
    this.request = request;
    this.node = element('div', { className: 'face-commands' });
  }

  /**
   * @param {import('./available-clock-commands.js').ClockOffer[]} offers
   * @param {string} name
   */
  describe(offers, name) {
    this.#offers = new Map(offers.map((offer) => [offer.key, offer]));
    this.#updateButtons(offers.map((offer) => offer.key));
    for (const offer of offers) mark(this.#buttons.get(offer.key), 'aria-label', offer.label.replace('%', name));
    this.node.hidden = offers.length === 0;
  }

  // Buttons that stay are reused, so that they keep the focus.
  #updateButtons(keys) {
    if (keys.join(' ') === [...this.#buttons.keys()].join(' ')) return;
    const focused = this.node.contains(document.activeElement) ? document.activeElement : null;
    this.#buttons = new Map(keys.map((key) => [key, this.#buttons.get(key) ?? this.#button(key)]));
    this.node.replaceChildren(...this.#buttons.values());
    if (focused) (focused.isConnected ? focused : this.node.firstElementChild)?.focus();
  }

  #button(key) {
    const { text, sure } = this.#offers.get(key);
    const button = element('button', { type: 'button', 'data-key': key }, text);
    if (sure) button.dataset.sure = sure;
    button.addEventListener('click', (event) => confirmPress(event, () => this.request(this.#offers.get(key))));
    return button;
  }
}
