/** The form that creates a clock. */

import { Rest } from '/sdk/rest.js';
import { configOf, formError } from './config.js';
import { byId, element } from './dom.js';
import { readFields, showFields } from './preset-fields.js';
import { ParticipantsForm } from './participants-form.js';
import { GROUPS, presetOf } from './presets.js';
import { messageFor } from './messages.js';

// Without a session in the address, the reader runs the server.
const NEEDS_TOKEN = 'This server asks for a token. Make one with “synckairos token --tenant T --role operator --sub NAME”, and open this page with #token=… behind its address.';

const NO_ACCESS = ['unauthenticated', 'token_expired', 'signature_invalid'];

/** @param {{base: string, token: string|null}} options */
export function openCreateView(options) {
  new CreateView(new Rest(options)).open();
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
      this.#create();
    });
    this.#choose();
  }

  get #preset() {
    return presetOf(this.form.elements.preset.value);
  }

  #choose() {
    const preset = this.#preset;
    byId('say').textContent = preset.description;
    this.form.elements.title.placeholder = preset.name;
    showFields(preset);
    this.people.show(preset.people);
    byId('form-error').hidden = true;
  }

  async #create() {
    const preset = this.#preset;
    const title = this.form.elements.title.value;
    const form = { preset, title, values: readFields(preset), people: this.people.read() };
    const error = formError(form);
    if (error) return showError(error);
    byId('create-button').disabled = true;
    try {
      const session = await this.rest.create(configOf(form));
      goTo(session.session_id);
    } catch (problem) {
      showError(NO_ACCESS.includes(problem.code) ? NEEDS_TOKEN : messageFor(problem));
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

function showError(text) {
  byId('form-error').textContent = text;
  byId('form-error').hidden = false;
}
