/** From a press to a command. Who acted, and when by the shared clock, goes along with it. */

import { activeGroupId, activeId, statusAt } from '/sdk/clock.js';
import { textOf } from '/sdk/instant.js';
import { isOperator, mayCommand } from './access.js';
import { availableClockCommands } from './available-clock-commands.js';
import { newParticipant } from './join-form.js';
import { commandOf, isTurnTaking, pressAction } from './available-commands.js';
import { CommandFeedback } from './command-feedback.js';

const TOGETHER_MS = 5000;

export class CommandSender {
  #isBusy = false;

  /**
   * @param {import('/sdk/connection.js').Connection} connection
   * @param {import('./access.js').Principal} principal
   */
  constructor(connection, principal) {
    this.connection = connection;
    this.principal = principal;
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
    const request = session && pressAction(session, id, this.connection.now(), this.principal);
    if (request) this.ask(commandOf(request));
  }

  /** What Space is for: hand on where turns are taken, else pause and resume; and before all that, start. */
  foremost() {
    const { session } = this.connection;
    if (!session) return;
    if (!isTurnTaking(session)) return this.togglePause();
    this.press(session.sync_mode === 'per_group' ? activeGroupId(session) : activeId(session));
  }

  togglePause() {
    const { session } = this.connection;
    if (!session) return;
    if (!isOperator(this.principal)) return this.#toggleOwn(session);
    const request = { pending: 'start', running: 'pause', paused: 'resume' }[statusAt(session, this.connection.now())];
    if (request && mayCommand(this.principal, session, request)) this.ask(request);
  }

  // Whoever runs one clock of many pauses and resumes that one.
  #toggleOwn(session) {
    const { participantId } = this.principal;
    const offers = participantId ? availableClockCommands(session, participantId, this.connection.now(), this.principal) : [];
    const offer = offers.find(({ command }) => command === 'pause' || command === 'resume');
    if (offer) this.askOfClock(offer);
  }

  /**
   * A small button under a clock.
   *
   * @param {import('./available-clock-commands.js').ClockOffer} offer
   */
  askOfClock({ command, fields }) {
    this.#send(command, command === 'switch' ? { ...this.#handOn(), ...fields } : fields);
  }

  /**
   * Hands on to one of the same team.
   *
   * @param {string} participantId
   */
  choose(participantId) {
    this.#send('switch', { ...this.#handOn(), next_participant_id: participantId });
  }

  /**
   * Somebody comes later.
   *
   * @param {string} name
   */
  add(name) {
    this.#send('add_participant', newParticipant(this.connection.session, name));
  }

  // Naming who hands on makes a press that came too late a refusal, never the other one's loss.
  #handOn() {
    const { session, sync } = this.connection;
    const acted = sync.isSettled ? { client_time_ms: Math.floor(sync.now()) } : {};
    const who = isTurnTaking(session) ? { current_participant_id: activeId(session) } : {};
    return { ...who, ...acted };
  }

  // One request at a time: a second press before the first is answered is a trembling finger.
  async #send(command, fields) {
    if (this.#isBusy) return;
    this.#isBusy = true;
    const report = new CommandFeedback(this.connection);
    try {
      await this.connection.command(command, fields);
      report.counted();
    } catch (problem) {
      report.failed(problem);
    } finally {
      this.#isBusy = false;
    }
  }
}
