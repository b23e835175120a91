/** A word to whoever just did something that did not work. */

import { byId } from './dom.js';
import { wordsFor } from './words.js';

const SHOWN_MS = 8000;
let timer = 0;

/** @param {Error} problem */
export function notice(problem) {
  byId('notice-text').textContent = wordsFor(problem);
  byId('notice').hidden = false;
  clearTimeout(timer);
  timer = window.setTimeout(dismiss, SHOWN_MS);
}

export function openNotice() {
  byId('notice-close').addEventListener('click', dismiss);
}

function dismiss() {
  byId('notice').hidden = true;
}
