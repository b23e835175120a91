/** The number fields of a preset. */

import { byId, element } from './dom.js';

/** @param {import('./presets.js').Preset} preset */
export function showFields(preset) {
  byId('fields').replaceChildren(...preset.fields.map(fieldOf));
  byId('fields').hidden = preset.fields.length === 0;
  byId('quick').replaceChildren(...(preset.quick ?? []).map(quickOf));
  byId('quick').hidden = !preset.quick;
}

/**
 * The values of the fields: NaN for one that is not a number, 0 for an empty one.
 *
 * @param {import('./presets.js').Preset} preset
 * @returns {import('./presets.js').Values}
 */
export function readFields(preset) {
  return Object.fromEntries(preset.fields.map(({ key }) => [key, numberIn(inputOf(key))]));
}

function fieldOf({ key, label, value, min = 0, isCount }) {
  const input = element('input', {
    type: 'number', name: key, value: String(value), min: String(min), step: isCount ? '1' : 'any',
    inputMode: isCount ? 'numeric' : 'decimal', autocomplete: 'off',
  });
  return element('label', {}, element('span', {}, label), input);
}

function quickOf({ text, values }) {
  const button = element('button', { type: 'button' }, text);
  button.addEventListener('click', () => {
    for (const [key, value] of Object.entries(values)) inputOf(key).value = String(value);
  });
  return button;
}

function inputOf(key) {
  return byId('create-form').elements[key];
}

function numberIn(input) {
  return input.validity.badInput ? NaN : Number(input.value);
}
