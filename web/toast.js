/** Short messages to the user, such as why a command failed. */

import { byId, say } from './dom.js';
import { messageFor } from './messages.js';

const TOAST_MS = 8000;
let timer = 0;

/** @param {Error} problem */
export function showProblem(problem) {
  showToast(messageFor(problem));
}

/**
 * @param {string} text
 * @param {{stays?: boolean}} [set] `stays`: until another replaces it, or it is dismissed.
 */
export function showToast(text, { stays = false } = {}) {
  say(byId('notice-text'), text);
  byId('notice').hidden = false;
  clearTimeout(timer);
  if (!stays) timer = window.setTimeout(dismiss, TOAST_MS);
}

/**
 * Hides a message that stays after a while, if it is still shown.
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
