/** The form that makes a clock. */

import { Rest } from '/sdk/rest.js';
import { configOf, objectionTo } from './config.js';
import { byId, element } from './dom.js';
import { readFields, showFields } from './preset-fields.js';
import { ParticipantsForm } from './participants-form.js';
import { GROUPS, presetOf } from './presets.js';
import { messageFor } from './messages.js';

// Here nobody followed a link: it is whoever runs the server.
const NEEDS_TOKEN = 'This server asks for a token. Make one with “synckairos token --tenant T --role operator --sub NAME”, and open this page with #token=… behind its address.';

const NO_ACCESS = ['unauthenticated', 'token_expired', 'signature_invalid'];

/** @param {{base: string, token: string|null}} place */
export function openCreateView(place) {
  new CreateView(new Rest(place)).open();
}

class CreateView {
  constructor(rest) {
    this.rest = rest;
    this.form = byId('create-form');
    this.people = new ParticipantsForm();
  }

  open() {
    byId('create').hidden = false;
    byId('kinds').replaceChildren(...GROUPS.map(groupOf));
    this.form.elements.preset.value = presetOf(new URL(location.href).searchParams.get('preset'))?.key ?? GROUPS[0].presets[0].key;
    byId('kinds').addEventListener('change', () => this.#choose());
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#make();
    });
    this.#choose();
  }

  get #preset() {
    return presetOf(this.form.elements.preset.value);
  }

  #choose() {
    const preset = this.#preset;
    byId('say').textContent = preset.say;
    this.form.elements.title.placeholder = preset.name;
    showFields(preset);
    this.people.show(preset.people);
    byId('form-error').hidden = true;
  }

  async #make() {
    const preset = this.#preset;
    const title = this.form.elements.title.value;
    const wanted = { preset, title, values: readFields(preset), people: this.people.read() };
    const objection = objectionTo(wanted);
    if (objection) return object(objection);
    byId('create-button').disabled = true;
    try {
      const session = await this.rest.create(configOf(wanted));
      goTo(session.session_id);
    } catch (problem) {
      object(NO_ACCESS.includes(problem.code) ? NEEDS_TOKEN : messageFor(problem));
    } finally {
      byId('create-button').disabled = false;
    }
  }
}

function groupOf({ name, presets }) {
  const options = presets.map((preset) => {
    const input = element('input', { type: 'radio', name: 'preset', value: preset.key });
    return element('label', {}, input, element('span', {}, preset.name));
  });
  const heading = element('h2', {}, name);
  return element('div', { className: 'kind-group' }, heading, element('div', { className: 'kind-row' }, ...options));
}

function goTo(sessionId) {
  const url = new URL(location.href);
  url.searchParams.delete('preset');
  url.searchParams.set('session', sessionId);
  location.assign(url);
}

function object(words) {
  byId('form-error').textContent = words;
  byId('form-error').hidden = false;
}
