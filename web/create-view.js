/** The form that makes a clock. */

import { Rest } from '/sdk/rest.js';
import { configOf, objectionTo } from './config.js';
import { byId, element } from './dom.js';
import { wordsFor } from './words.js';

const MOST_NAMES = 8;

/** @param {{base: string, token: string|null}} place */
export function openCreateView({ base, token }) {
  const form = byId('create-form');
  byId('create').hidden = false;
  ['White', 'Black'].forEach(addName);
  byId('add-name').addEventListener('click', () => addName('').focus());
  form.addEventListener('change', () => showKind(form));
  form.addEventListener('click', (event) => takePreset(form, event.target));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    make(form, new Rest({ base, token }));
  });
  showKind(form);
}

function addName(name) {
  const list = byId('names');
  const label = `Name ${list.children.length + 1}`;
  const set = { type: 'text', name: 'name', value: name, maxLength: 40, autocomplete: 'off', placeholder: label };
  const input = element('input', { ...set, 'aria-label': label });
  list.append(element('li', {}, input));
  byId('add-name').hidden = list.children.length >= MOST_NAMES;
  return input;
}

function showKind(form) {
  for (const part of form.querySelectorAll('[data-kind]')) part.hidden = part.dataset.kind !== kindOf(form);
  byId('form-error').hidden = true;
}

function kindOf(form) {
  return form.elements.kind.value;
}

function takePreset(form, { dataset }) {
  if (dataset.minutes) fill(form, { minutes: dataset.minutes, increment: dataset.increment });
  if (dataset.length) fill(form, { hours: '0', 'countdown-minutes': dataset.length, 'countdown-seconds': '0' });
}

function fill(form, values) {
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
}

async function make(form, rest) {
  const wanted = READ[kindOf(form)](form);
  const objection = objectionTo(wanted);
  if (objection) return object(objection);
  byId('create-button').disabled = true;
  try {
    const session = await rest.create(configOf(wanted));
    goTo(session.session_id);
  } catch (problem) {
    object(wordsFor(problem));
  } finally {
    byId('create-button').disabled = false;
  }
}

function goTo(sessionId) {
  const url = new URL(location.href);
  url.searchParams.set('session', sessionId);
  location.assign(url);
}

function object(words) {
  byId('form-error').textContent = words;
  byId('form-error').hidden = false;
}

const READ = {
  chess: (form) => ({
    ...common(form),
    minutes: number(form, 'minutes'),
    increment: number(form, 'increment'),
    names: [...form.querySelectorAll('[name=name]')].map((input) => input.value),
  }),
  countdown: (form) => ({
    ...common(form),
    length_s: number(form, 'hours') * 3600 + number(form, 'countdown-minutes') * 60 + number(form, 'countdown-seconds'),
  }),
  stopwatch: (form) => ({ ...common(form), limit: number(form, 'limit') }),
};

function common(form) {
  return { kind: kindOf(form), title: form.elements.title.value };
}

// An empty field is a nought; what is no number stays none, and is objected to.
function number(form, name) {
  const input = form.elements[name];
  return input.validity.badInput ? NaN : Number(input.value);
}
