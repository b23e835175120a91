/** From a press to a command. Who acted, and when by the shared clock, goes along with it. */

import { activeId, statusAt } from '/sdk/clock.js';
import { textOf } from '/sdk/instant.js';
import { notice } from './notice.js';
import { isTurnTaking, pressOf } from './offers.js';

const TOGETHER_MS = 5000;

export class Wishes {
  #isBusy = false;

  /** @param {import('/sdk/connection.js').Connection} connection */
  constructor(connection) {
    this.connection = connection;
  }

  /**
   * A button of the toolbar.
   *
   * @param {string} command
   */
  ask(command) {
    const { connection } = this;
    if (command === 'start-together') return this.#send('start', { at: textOf(connection.now() + TOGETHER_MS) });
    return this.#send(command, command === 'switch' ? this.#handOn() : {});
  }

  /**
   * A press of a clock.
   *
   * @param {string} id
   */
  press(id) {
    const { session } = this.connection;
    const wish = session && pressOf(session, id, this.connection.now());
    if (wish) this.ask(wish === 'hand on' ? 'switch' : wish);
  }

  /** What Space is for: hand on where turns are taken, else pause and resume. */
  foremost() {
    const { session } = this.connection;
    const id = session && (session.sync_mode === 'per_group' ? session.active_group_id : activeId(session));
    if (session) this.press(id ?? 'session');
  }

  togglePause() {
    const { session } = this.connection;
    const wish = session && { running: 'pause', paused: 'resume' }[statusAt(session, this.connection.now())];
    if (wish) this.ask(wish);
  }

  /**
   * @param {string} id
   * @param {number} ms Negative takes.
   */
  adjust(id, ms) {
    const { session } = this.connection;
    const owner = { per_group: { group_id: id }, per_cycle: {}, global: {}, count_up: {} }[session.sync_mode];
    this.#send('adjust', { ...(owner ?? { participant_id: id }), add_ms: ms });
  }

  // Naming who hands on makes a press that came too late a refusal, never the other one's loss.
  #handOn() {
    const { session, sync } = this.connection;
    const acted = sync.isSettled ? { client_time_ms: Math.floor(sync.now()) } : {};
    const who = isTurnTaking(session) ? { current_participant_id: activeId(session) } : {};
    return { ...who, ...acted };
  }

  // One wish at a time: a second press before the first is answered is a trembling finger.
  async #send(command, fields) {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      await this.connection.command(command, fields);
    } catch (problem) {
      notice(problem);
    } finally {
      this.#isBusy = false;
    }
  }
}
