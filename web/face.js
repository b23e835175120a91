/** One clock on the screen: its name, its digits, what is left of it as a bar, and giving or taking time. */

import { clockText, spokenText } from '/sdk/format.js';
import { element, mark, say } from './dom.js';

const STEP_MS = 15_000;

// Below this the digits turn urgent, whatever warnings the session has.
const LOW_MS = 10_000;

export class Face {
  /**
   * @param {string} id
   * @param {{press: (id: string) => void, adjust: (id: string, ms: number) => void}} wishes
   */
  constructor(id, wishes) {
    this.id = id;
    this.name = element('span', { className: 'face-name' });
    this.main = element('span', { className: 'digits-main' });
    this.fraction = element('span', { className: 'digits-fraction' });
    this.digits = element('span', { className: 'digits' }, this.main, this.fraction);
    this.note = element('span', { className: 'face-note' });
    this.bar = element('span', { className: 'face-bar' });
    this.button = this.#button(wishes);
    this.adjust = adjusters(id, wishes);
    this.node = element('section', { className: 'face', 'data-clock': id }, this.button, this.adjust);
  }

  /**
   * What changes only when the session does.
   *
   * @param {{name: string, note: string, pressing: string|null, fullMs: number, isElapsed: boolean, isTurn: boolean, hasEnded: boolean}} facts
   */
  describe(facts) {
    this.facts = facts;
    say(this.name, facts.name);
    say(this.note, facts.note);
    this.adjust.hidden = facts.isElapsed || facts.hasEnded;
    mark(this.node, 'data-turn', facts.isTurn && !facts.hasEnded ? 'here' : 'elsewhere');
    this.adjust.firstChild.setAttribute('aria-label', `Take 15 seconds from ${facts.name}`);
    this.adjust.lastChild.setAttribute('aria-label', `Give 15 seconds to ${facts.name}`);
    mark(this.button, 'aria-disabled', String(!facts.pressing));
  }

  /**
   * What changes with every frame.
   *
   * @param {import('/sdk/clock.js').Reading} reading
   */
  paint(reading) {
    const { text, fraction } = clockText(reading.shown_ms, this.facts.isElapsed ? 2 : 1);
    this.reading = reading;
    say(this.main, text);
    say(this.fraction, fraction);
    mark(this.node, 'data-length', text.length > 5 ? 'long' : 'short');
    mark(this.node, 'data-look', this.#look(reading));
    this.#paintBar(reading);
  }

  /** A cue: something was reached. */
  flash() {
    this.node.classList.remove('flash');
    // Reading a size makes the browser see the class gone, so that the animation begins again.
    void this.node.offsetWidth;
    this.node.classList.add('flash');
  }

  /** For a voice: who, how much, and what a press would do. Not kept up with the digits, or it would never be silent. */
  speak() {
    const { name, note, pressing, isElapsed } = this.facts;
    const shown = `${spokenText(this.reading.shown_ms)}${isElapsed ? '' : ' left'}`;
    const press = pressing ? ` Press to ${pressing}.` : '';
    mark(this.button, 'aria-label', `${name}: ${shown}. ${note ? `${note}.` : ''}${press}`);
  }

  #button({ press }) {
    const parts = [this.name, this.digits, this.note, this.bar];
    const button = element('button', { type: 'button', className: 'face-button' }, ...parts);
    button.addEventListener('click', () => press(this.id));
    button.addEventListener('focus', () => this.speak());
    return button;
  }

  #look({ is_running: isRunning, is_out: isOut, shown_ms: shown }) {
    if (this.facts.isElapsed) return isRunning && !isOut ? 'running' : 'still';
    if (isOut) return 'out';
    if (!isRunning) return 'still';
    return shown <= LOW_MS ? 'low' : 'running';
  }

  #paintBar({ shown_ms: shown }) {
    const part = this.facts.fullMs > 0 ? Math.min(1, shown / this.facts.fullMs) : 0;
    this.node.style.setProperty('--part', part.toFixed(4));
  }
}

function adjusters(id, { adjust }) {
  const make = (text, ms) => {
    const button = element('button', { type: 'button', textContent: text, 'data-adjust': String(ms) });
    button.addEventListener('click', () => adjust(id, ms));
    return button;
  };
  return element('div', { className: 'face-adjust' }, make('− 15 s', -STEP_MS), make('+ 15 s', STEP_MS));
}
