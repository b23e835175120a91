/** A word to whoever just did something that did not work. */

import { byId, say } from './dom.js';
import { messageFor } from './messages.js';

const SHOWN_MS = 8000;
let timer = 0;

/** @param {Error} problem */
export function showProblem(problem) {
  showToast(messageFor(problem));
}

/**
 * @param {string} text
 * @param {{stays?: boolean}} [set] `stays`: until another takes its place, or it is dismissed.
 */
export function showToast(text, { stays = false } = {}) {
  say(byId('notice-text'), text);
  byId('notice').hidden = false;
  clearTimeout(timer);
  if (!stays) timer = window.setTimeout(dismiss, SHOWN_MS);
}

/**
 * Lets a notice that stays go after a while, if it is still the one.
 *
 * @param {string} text
 */
export function dismissToast(text) {
  if (!byId('notice').hidden && byId('notice-text').textContent === text) showToast(text);
}

export function openToast() {
  byId('notice-close').addEventListener('click', dismiss);
}

function dismiss() {
  byId('notice').hidden = true;
}
