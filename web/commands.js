/** Sends the command of a press, with the participant who acted and the cluster time of the press. */

import { activeGroupId, activeId, statusAt } from '/sdk/clock.js';
import { textOf } from '/sdk/instant.js';
import { isOperator, mayCommand } from './access.js';
import { availableClockCommands } from './available-clock-commands.js';
import { newParticipant } from './join-form.js';
import { commandOf, isTurnTaking, pressAction } from './available-commands.js';
import { CommandFeedback } from './command-feedback.js';

const START_TOGETHER_DELAY_MS = 5000;

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
  request(command) {
    const { connection } = this;
    if (command === 'start-together') return this.#send('start', { at: textOf(connection.now() + START_TOGETHER_DELAY_MS) });
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
    if (request) this.request(commandOf(request));
  }

  /** The command of Space: start first, then hand on where turns are taken, else pause and resume. */
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
    if (request && mayCommand(this.principal, session, request)) this.request(request);
  }

  // A participant with a clock of its own pauses and resumes that one.
  #toggleOwn(session) {
    const { participantId } = this.principal;
    const offers = participantId ? availableClockCommands(session, participantId, this.connection.now(), this.principal) : [];
    const offer = offers.find(({ command }) => command === 'pause' || command === 'resume');
    if (offer) this.requestForClock(offer);
  }

  /**
   * A small button under a clock.
   *
   * @param {import('./available-clock-commands.js').ClockOffer} offer
   */
  requestForClock({ command, fields }) {
    this.#send(command, command === 'switch' ? { ...this.#handOn(), ...fields } : fields);
  }

  /**
   * Hands on to one of the same team.
   *
   * @param {string} participantId
   */
  handOnTo(participantId) {
    this.#send('switch', { ...this.#handOn(), next_participant_id: participantId });
  }

  /**
   * Adds a participant.
   *
   * @param {string} name
   */
  add(name) {
    this.#send('add_participant', newParticipant(this.connection.session, name));
  }

  // With the current participant in the command, a late press is refused and costs the other one nothing.
  #handOn() {
    const { session, sync } = this.connection;
    const clientTime = sync.isSettled ? { client_time_ms: Math.floor(sync.now()) } : {};
    const current = isTurnTaking(session) ? { current_participant_id: activeId(session) } : {};
    return { ...current, ...clientTime };
  }

  // One request at a time: a second press before the first answer is an accident.
  async #send(command, fields) {
    if (this.#isBusy) return;
    this.#isBusy = true;
    const feedback = new CommandFeedback(this.connection);
    try {
      await this.connection.command(command, fields);
      feedback.applied();
    } catch (problem) {
      feedback.failed(problem);
    } finally {
      this.#isBusy = false;
    }
  }
}
