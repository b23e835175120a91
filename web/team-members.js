/** The members of a team: a press on another member of the active team hands on to it. */

import { activeId } from '/sdk/clock.js';
import { element, mark } from './dom.js';

export class TeamMembers {
  #ids = '';

  /** @param {(participantId: string) => void} handOnTo */
  constructor(handOnTo) {
    this.handOnTo = handOnTo;
    this.node = element('div', { className: 'face-members', role: 'group', hidden: true });
  }

  /**
   * @param {import('/sdk/types.js').Snapshot} session
   * @param {import('/sdk/types.js').Clock[]} members
   * @param {{name: string, choices: string[]}} facts `choices`: the members that the caller may hand on to.
   */
  describe(session, members, { name, choices }) {
    this.#updateButtons(members);
    this.node.hidden = members.length === 0;
    mark(this.node, 'aria-label', `Who plays for ${name}`);
    const active = activeId(session);
    for (const button of this.node.children) {
      mark(button, 'aria-pressed', String(button.dataset.member === active));
      button.disabled = !choices.includes(button.dataset.member) && button.dataset.member !== active;
    }
  }

  #updateButtons(members) {
    const ids = members.map((one) => one.participant_id).join(' ');
    if (ids === this.#ids) return;
    this.#ids = ids;
    this.node.replaceChildren(...members.map((one) => this.#button(one)));
  }

  #button({ participant_id: id, metadata }) {
    const button = element('button', { type: 'button', 'data-member': id }, metadata?.name ?? id);
    button.addEventListener('click', () => button.getAttribute('aria-pressed') === 'false' && this.handOnTo(id));
    return button;
  }
}
