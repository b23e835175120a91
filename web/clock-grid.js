/** All the clocks of a session on the screen, in turn order. */

import { SESSION, activeId, clockIds, read, statusAt } from '/sdk/clock.js';
import { mayCommand } from './access.js';
import { badgesOf } from './badges.js';
import { availableClockCommands } from './available-clock-commands.js';
import { fullMs, isSimultaneous, membersOf } from './clocks.js';
import { byId } from './dom.js';
import { ClockCard } from './clock-card.js';
import { nameOf } from './clock-names.js';
import { statusTextFor } from './status-text.js';
import { hasEnded, isTurnOf, pressAction } from './available-commands.js';

// With more clocks than this each card is small, and opens its commands when pressed.
const MAX_LARGE_CARDS = 4;

// With more than this a large screen is full, too.
const MAX_UNCROWDED_CARDS = 12;

export class ClockGrid {
  /** @type {Map<string, ClockCard>} */
  #byId = new Map();

  /**
   * @param {import('./clock-card.js').CardActions} actions
   * @param {import('./access.js').Principal} principal
   */
  constructor(actions, principal) {
    this.actions = actions;
    this.principal = principal;
    this.container = byId('faces');
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   */
  describe(session, nowMs) {
    this.#layOut(session);
    for (const card of this.#byId.values()) this.#describeCard(card, session, nowMs);
    this.paint(session, nowMs);
    for (const card of this.#byId.values()) card.speak();
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   */
  paint(session, nowMs) {
    for (const card of this.#byId.values()) {
      const reading = read(session, card.id, nowMs);
      const note = statusTextFor(session, card.id, reading, nowMs);
      card.paint(reading, { note, badges: badgesOf(session, card.id, reading) });
    }
  }

  /** @param {string} id */
  get(id) {
    return this.#byId.get(id);
  }

  /** @returns {ClockCard[]} */
  all() {
    return [...this.#byId.values()];
  }

  /** The clock that Space acts on. */
  foremost(session) {
    return this.#byId.get(turnId(session)) ?? this.all()[0];
  }

  /** Moves the focus to the running clock, after the focused button disappeared. */
  focus(session, nowMs) {
    if (statusAt(session, nowMs) === 'running') this.foremost(session)?.button.focus({ preventScroll: true });
  }

  #describeCard(card, session, nowMs) {
    const name = nameOf(session, card.id);
    const offers = availableClockCommands(session, card.id, nowMs, this.principal);
    card.describe({
      name,
      offers,
      isDense: this.#isDense,
      pressing: pressAction(session, card.id, nowMs, this.principal) ?? (this.#isDense && offers.length > 0 ? 'open' : null),
      fullMs: fullMs(session, card.id),
      isElapsed: session.sync_mode === 'count_up',
      turn: turnOf(session, card.id),
    });
    card.members.describe(session, membersOf(session, card.id), { name, choices: this.#choices(session, card.id, nowMs) });
  }

  // The team members that the caller may hand on to.
  #choices(session, id, nowMs) {
    const isOpen = statusAt(session, nowMs) === 'running' && !isSimultaneous(session) && isTurnOf(session, id);
    const ids = isOpen ? membersOf(session, id).map((one) => one.participant_id) : [];
    return ids.filter((next) => mayCommand(this.principal, session, 'switch', { next_participant_id: next }));
  }

  get #isDense() {
    return this.#byId.size > MAX_LARGE_CARDS;
  }

  // Cards that stay are reused, so that they keep the focus.
  #layOut(session) {
    const ids = clockIds(session);
    this.container.dataset.mode = session.sync_mode;
    if (ids.join(' ') === [...this.#byId.keys()].join(' ')) return;
    this.#byId = new Map(ids.map((id) => [id, this.#byId.get(id) ?? new ClockCard(id, this.actions)]));
    this.container.replaceChildren(...this.all().map((card) => card.node));
    this.container.dataset.count = String(ids.length);
    this.container.dataset.density = this.#isDense ? 'dense' : 'roomy';
    this.container.dataset.crowd = ids.length > MAX_UNCROWDED_CARDS ? 'many' : 'few';
  }
}

function turnOf(session, id) {
  if (hasEnded(session)) return 'over';
  return isSimultaneous(session) ? 'none' : isTurnOf(session, id) ? 'here' : 'elsewhere';
}

function turnId(session) {
  return (session.sync_mode === 'per_group' ? session.active_group_id : activeId(session)) ?? SESSION;
}
