/** A word to whoever just did something that did not work. */

import { byId, say } from './dom.js';
import { wordsFor } from './words.js';

const SHOWN_MS = 8000;
let timer = 0;

/** @param {Error} problem */
export function notice(problem) {
  noticeText(wordsFor(problem));
}

/**
 * @param {string} text
 * @param {{stays?: boolean}} [set] `stays`: until another takes its place, or it is dismissed.
 */
export function noticeText(text, { stays = false } = {}) {
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
export function letGo(text) {
  if (!byId('notice').hidden && byId('notice-text').textContent === text) noticeText(text);
}

export function openNotice() {
  byId('notice-close').addEventListener('click', dismiss);
}

function dismiss() {
  byId('notice').hidden = true;
}
