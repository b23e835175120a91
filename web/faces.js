/** All the clocks of a session on the screen, in turn order. */

import { SESSION, activeId, clockIds, read, statusAt } from '/sdk/clock.js';
import { mayCommand } from './access.js';
import { badgesOf } from './badges.js';
import { clockOffersOf } from './clock-offers.js';
import { fullMs, isSimultaneous, membersOf } from './clocks.js';
import { byId } from './dom.js';
import { Face } from './face.js';
import { nameOf } from './naming.js';
import { noteFor } from './notes.js';
import { hasEnded, isTurnOf, pressOf } from './offers.js';

// With more clocks than these each is small, and opens its commands when pressed.
const MOST_LARGE = 4;

// With more than these a large screen is full, too.
const MOST_AT_A_TABLE = 12;

export class Faces {
  /** @type {Map<string, Face>} */
  #byId = new Map();

  /**
   * @param {import('./face.js').FaceWishes} wishes
   * @param {import('./access.js').Principal} principal
   */
  constructor(wishes, principal) {
    this.wishes = wishes;
    this.principal = principal;
    this.place = byId('faces');
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   */
  describe(session, nowMs) {
    this.#seat(session);
    for (const face of this.#byId.values()) this.#describeOne(face, session, nowMs);
    this.paint(session, nowMs);
    for (const face of this.#byId.values()) face.speak();
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   */
  paint(session, nowMs) {
    for (const face of this.#byId.values()) {
      const reading = read(session, face.id, nowMs);
      const note = noteFor(session, face.id, reading, nowMs);
      face.paint(reading, { note, badges: badgesOf(session, face.id, reading) });
    }
  }

  /** @param {string} id */
  get(id) {
    return this.#byId.get(id);
  }

  /** @returns {Face[]} */
  all() {
    return [...this.#byId.values()];
  }

  /** The clock that a press of Space is about. */
  foremost(session) {
    return this.#byId.get(turnId(session)) ?? this.all()[0];
  }

  /** Where the keyboard goes when its button has just disappeared. */
  focus(session, nowMs) {
    if (statusAt(session, nowMs) === 'running') this.foremost(session)?.button.focus({ preventScroll: true });
  }

  #describeOne(face, session, nowMs) {
    const name = nameOf(session, face.id);
    const offers = clockOffersOf(session, face.id, nowMs, this.principal);
    face.describe({
      name,
      offers,
      isDense: this.#isDense,
      pressing: pressOf(session, face.id, nowMs, this.principal) ?? (this.#isDense && offers.length > 0 ? 'open' : null),
      fullMs: fullMs(session, face.id),
      isElapsed: session.sync_mode === 'count_up',
      turn: turnOf(session, face.id),
    });
    face.members.describe(session, membersOf(session, face.id), { name, choices: this.#choices(session, face.id, nowMs) });
  }

  // Which of a team one may hand on to.
  #choices(session, id, nowMs) {
    const isOpen = statusAt(session, nowMs) === 'running' && !isSimultaneous(session) && isTurnOf(session, id);
    const ids = isOpen ? membersOf(session, id).map((one) => one.participant_id) : [];
    return ids.filter((next) => mayCommand(this.principal, session, 'switch', { next_participant_id: next }));
  }

  get #isDense() {
    return this.#byId.size > MOST_LARGE;
  }

  // Faces that stay are kept as they are, so that nobody's focus is taken away.
  #seat(session) {
    const ids = clockIds(session);
    this.place.dataset.mode = session.sync_mode;
    if (ids.join(' ') === [...this.#byId.keys()].join(' ')) return;
    this.#byId = new Map(ids.map((id) => [id, this.#byId.get(id) ?? new Face(id, this.wishes)]));
    this.place.replaceChildren(...this.all().map((face) => face.node));
    this.place.dataset.count = String(ids.length);
    this.place.dataset.density = this.#isDense ? 'dense' : 'roomy';
    this.place.dataset.crowd = ids.length > MOST_AT_A_TABLE ? 'many' : 'few';
  }
}

function turnOf(session, id) {
  if (hasEnded(session)) return 'over';
  return isSimultaneous(session) ? 'none' : isTurnOf(session, id) ? 'here' : 'elsewhere';
}

function turnId(session) {
  return (session.sync_mode === 'per_group' ? session.active_group_id : activeId(session)) ?? SESSION;
}
