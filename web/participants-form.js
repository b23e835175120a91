/** The participants, as rows of a form. A list pasted into one row becomes as many rows. */

import { byId, element } from './dom.js';

const MAX_NAME_LENGTH = 40;
const MAX_MEMBERS_LENGTH = 400;

export class ParticipantsForm {
  #people = null;

  constructor() {
    this.list = byId('names');
    byId('add-name').addEventListener('click', () => this.#add()?.focus());
    byId('how-many').addEventListener('change', () => this.#resize(Number(byId('how-many').value)));
    this.list.addEventListener('paste', (event) => this.#paste(event));
    this.list.addEventListener('click', ({ target }) => target.closest('.remove') && this.#remove(target.closest('li')));
  }

  /** @param {import('./presets.js').Participants|undefined} people */
  show(people) {
    this.#people = people ?? null;
    byId('people').hidden = !people;
    this.list.replaceChildren();
    if (!people) return;
    byId('people-legend').textContent = people.legend;
    this.list.dataset.column = people.column ? (people.column.isText ? 'text' : 'number') : 'none';
    Object.assign(byId('how-many'), { min: String(people.min), max: String(people.max) });
    people.names.forEach((name, at) => this.#add(name, people.column?.values[at]));
  }

  /** @returns {{name: string, column: string}[]} */
  read() {
    const valueOf = (row, name) => row.querySelector(`[name=${name}]`);
    return [...this.list.children].map((row) => {
      const column = valueOf(row, 'column');
      return { name: valueOf(row, 'name').value, column: column?.validity.badInput ? 'none' : (column?.value ?? '') };
    });
  }

  #add(name = '', column = '') {
    const { word, max } = this.#people;
    if (this.list.children.length >= max) return null;
    const label = `${word} ${this.list.children.length + 1}`;
    const input = textInput({ name: 'name', value: name, maxLength: MAX_NAME_LENGTH, placeholder: label, 'aria-label': label });
    const remove = element('button', { type: 'button', className: 'plain remove', 'aria-label': `Remove ${label}` }, '×');
    const more = this.#people.column ? [this.#columnInput(column, label)] : [];
    this.list.append(element('li', {}, input, ...more, remove));
    this.#count();
    return input;
  }

  #columnInput(value, label) {
    const { column } = this.#people;
    const attributes = { name: 'column', value, placeholder: column.label, 'aria-label': `${column.label}, ${label}` };
    if (column.isText) return textInput({ ...attributes, maxLength: MAX_MEMBERS_LENGTH });
    return element('input', { ...attributes, type: 'number', min: '0', step: 'any', inputMode: 'decimal' });
  }

  #remove(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    next?.querySelector('input').focus();
    this.#count();
  }

  #resize(count) {
    const { min, max } = this.#people;
    const target = Math.max(min, Math.min(max, Math.round(count) || min));
    while (this.list.children.length > target) this.list.lastElementChild.remove();
    while (this.list.children.length < target) this.#add();
    this.#count();
  }

  #paste(event) {
    const lines = event.clipboardData.getData('text').split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
    if (lines.length < 2 || event.target.name !== 'name') return;
    event.preventDefault();
    const rows = [...this.list.children];
    const from = rows.indexOf(event.target.closest('li'));
    lines.forEach((line, at) => {
      const input = rows[from + at]?.querySelector('[name=name]') ?? this.#add();
      if (input) input.value = line.slice(0, MAX_NAME_LENGTH);
    });
  }

  #count() {
    const { min, max } = this.#people;
    const count = this.list.children.length;
    byId('how-many').value = String(count);
    byId('how-many-label').hidden = byId('add-name').hidden = min === max;
    byId('add-name').disabled = count >= max;
    for (const button of this.list.querySelectorAll('.remove')) button.hidden = count <= min;
  }
}

function textInput(attributes) {
  return element('input', { ...attributes, type: 'text', autocomplete: 'off' });
}
