/** One clock on the screen: its name, its digits, a bar of the remaining time, and its own commands. */

import { clockText, spokenText } from '/sdk/format.js';
import { element, mark, say } from './dom.js';
import { ClockCardCommands } from './clock-card-commands.js';
import { TeamMembers } from './team-members.js';

// Below this the digits look urgent, independent of the warnings of the session.
const LOW_BELOW_MS = 10_000;

// The font size of the fraction relative to the digits, as in the style sheet.
const FRACTION_SIZE = 0.42;

/**
 * @typedef {object} CardActions
 * @property {(id: string) => void} press
 * @property {(offer: import('./available-clock-commands.js').ClockOffer) => void} request
 * @property {(participantId: string) => void} handOnTo
 */

export class ClockCard {
  #letters = 0;

  /**
   * @param {string} id
   * @param {CardActions} actions
   */
  constructor(id, actions) {
    this.id = id;
    this.name = element('span', { className: 'face-name' });
    this.main = element('span', { className: 'digits-main' });
    this.fraction = element('span', { className: 'digits-fraction' });
    this.digits = element('span', { className: 'digits' }, this.main, this.fraction);
    this.note = element('span', { className: 'face-note' });
    this.badges = element('span', { className: 'badges' });
    this.bar = element('span', { className: 'face-bar' });
    this.button = this.#button(actions);
    this.commands = new ClockCardCommands(actions.request);
    this.members = new TeamMembers(actions.handOnTo);
    this.more = this.#moreButton();
    const foot = element('div', { className: 'face-foot' }, this.members.node, this.commands.node);
    this.node = element('section', { className: 'face', 'data-clock': id }, this.button, this.more, foot, this.bar);
  }

  /**
   * Updates what changes only with the session.
   *
   * @param {{name: string, pressing: string|null, offers: import('./available-clock-commands.js').ClockOffer[], isDense: boolean,
   *   fullMs: number, isElapsed: boolean, turn: string}} facts
   */
  describe(facts) {
    this.facts = facts;
    this.commands.describe(facts.offers, facts.name);
    this.more.hidden = !facts.isDense || facts.offers.length === 0 || facts.pressing === 'open';
    mark(this.more, 'aria-label', `Commands for ${facts.name}`);
    this.#markOpen();
    say(this.name, facts.name);
    mark(this.node, 'data-turn', facts.turn);
    mark(this.button, 'aria-disabled', String(!facts.pressing));
  }

  /**
   * Updates what changes with every animation frame.
   *
   * @param {import('/sdk/clock.js').Reading} reading
   * @param {{note: string, badges: string[]}} texts
   */
  paint(reading, { note, badges }) {
    const { text, fraction } = clockText(reading.shown_ms, this.facts.isElapsed ? 2 : 1);
    this.reading = reading;
    say(this.main, text);
    say(this.fraction, fraction);
    say(this.note, note);
    this.#paintBadges(badges);
    mark(this.node, 'data-length', text.length > 5 ? 'long' : text.length > 4 ? 'middle' : 'short');
    this.#fit(text.length + FRACTION_SIZE * fraction.length);
    mark(this.node, 'data-look', this.#lookOf(reading));
    this.#paintBar(reading);
  }

  /** Shows a cue. */
  flash() {
    this.node.classList.remove('flash');
    // Reading a size makes the browser apply the removal, so that the animation restarts.
    void this.node.offsetWidth;
    this.node.classList.add('flash');
  }

  /** Sets the label for screen readers: name, time and action. It does not follow the digits, or it would never be silent. */
  speak() {
    const { name, pressing, isElapsed } = this.facts;
    const shown = `${spokenText(this.reading.shown_ms)}${isElapsed ? '' : ' left'}`;
    const facts = [this.note, ...this.badges.children].map((one) => one.textContent).filter(Boolean).join(', ');
    const press = pressing && pressing !== 'open' ? ` Press to ${pressing}.` : '';
    mark(this.button, 'aria-label', `${name}: ${shown}. ${facts ? `${facts}.` : ''}${press}`);
  }

  #button({ press }) {
    const line = element('span', { className: 'face-line' }, this.note, this.badges);
    const button = element('button', { type: 'button', className: 'face-button' }, this.name, this.digits, line);
    button.addEventListener('click', () => (this.facts.pressing === 'open' ? this.#toggle() : press(this.id)));
    button.addEventListener('focus', () => this.speak());
    return button;
  }

  #moreButton() {
    const button = element('button', { type: 'button', className: 'face-more' }, '⋯');
    button.addEventListener('click', () => this.#toggle());
    return button;
  }

  // Where there is no room for all commands, each card opens its own.
  #toggle() {
    this.node.classList.toggle('open');
    this.#markOpen();
  }

  #markOpen() {
    const isOpen = String(this.node.classList.contains('open'));
    mark(this.more, 'aria-expanded', isOpen);
    if (this.facts.pressing === 'open') mark(this.button, 'aria-expanded', isOpen);
    else this.button.removeAttribute('aria-expanded');
  }

  // The style sheet scales the digits to this number of letters.
  #fit(letters) {
    if (letters === this.#letters) return;
    this.#letters = letters;
    this.node.style.setProperty('--letters', String(letters));
  }

  #paintBadges(badges) {
    const { children } = this.badges;
    while (children.length > badges.length) this.badges.lastElementChild.remove();
    while (children.length < badges.length) this.badges.append(element('span', { className: 'badge' }));
    badges.forEach((text, at) => say(children[at], text));
  }

  #lookOf({ is_running: isRunning, is_out: isOut, shown_ms: shown }) {
    if (this.facts.isElapsed) return isRunning && !isOut ? 'running' : 'still';
    if (isOut) return 'out';
    if (!isRunning) return 'still';
    return shown <= LOW_BELOW_MS ? 'low' : 'running';
  }

  #paintBar({ shown_ms: shown }) {
    const part = this.facts.fullMs > 0 ? Math.min(1, shown / this.facts.fullMs) : 0;
    this.node.style.setProperty('--part', part.toFixed(4));
  }
}
