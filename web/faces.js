/** All the clocks of a session on the screen, in turn order. */

import { SESSION, activeId, clockIds, read, statusAt } from '/sdk/clock.js';
import { byId } from './dom.js';
import { Face } from './face.js';
import { nameOf } from './naming.js';
import { noteFor } from './notes.js';
import { hasEnded, isTurnOf, pressOf } from './offers.js';

export class Faces {
  /** @type {Map<string, Face>} */
  #byId = new Map();

  /** @param {{press: (id: string) => void, adjust: (id: string, ms: number) => void}} wishes */
  constructor(wishes) {
    this.wishes = wishes;
    this.place = byId('faces');
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   */
  describe(session, nowMs) {
    this.#seat(session);
    for (const face of this.#byId.values()) {
      const reading = read(session, face.id, nowMs);
      face.describe({
        name: nameOf(session, face.id),
        note: noteFor(session, face.id, reading, nowMs),
        pressing: pressOf(session, face.id, nowMs),
        fullMs: fullMs(session, face.id),
        isElapsed: session.sync_mode === 'count_up',
        isTurn: isTurnOf(session, face.id),
        hasEnded: hasEnded(session),
      });
      face.paint(reading);
      face.speak();
    }
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {number} nowMs
   */
  paint(session, nowMs) {
    for (const face of this.#byId.values()) face.paint(read(session, face.id, nowMs));
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
    return this.#byId.get(activeId(session) ?? SESSION) ?? this.all()[0];
  }

  /** Where the keyboard goes when its button has just disappeared. */
  focus(session, nowMs) {
    if (statusAt(session, nowMs) === 'running') this.foremost(session)?.button.focus({ preventScroll: true });
  }

  // Faces that stay are kept as they are, so that nobody's focus is taken away.
  #seat(session) {
    const ids = clockIds(session);
    if (ids.join(' ') === [...this.#byId.keys()].join(' ')) return;
    this.#byId = new Map(ids.map((id) => [id, this.#byId.get(id) ?? new Face(id, this.wishes)]));
    this.place.replaceChildren(...this.all().map((face) => face.node));
    this.place.dataset.count = String(ids.length);
    this.place.dataset.mode = session.sync_mode;
  }
}

// All that a clock was ever granted: used and left. The bar shows what is left of that.
function fullMs(session, id) {
  const clocks = [...session.participants, ...(session.groups ?? [])];
  const clock = clocks.find((one) => one.participant_id === id || one.group_id === id) ?? session;
  if (session.sync_mode === 'per_cycle') return session.time_per_cycle_ms ?? 0;
  if (session.sync_mode === 'count_up') return session.max_time_ms ?? 0;
  return (clock.total_time_ms ?? 0) + (clock.time_used_ms ?? 0);
}
