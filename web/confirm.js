/** Asks for a second press on the same button before a command that cannot be undone. */

// A second press within this time confirms.
const CONFIRM_TIMEOUT_MS = 4000;

/** @type {WeakMap<HTMLElement, {label: string, timer: number}>} */
const pending = new WeakMap();

/**
 * @param {MouseEvent} event A press on a button; `data-sure` is its question, if it asks.
 * @param {() => void} act
 */
export function confirmPress({ currentTarget, detail }, act) {
  const button = /** @type {HTMLElement} */ (currentTarget);
  const { sure } = button.dataset;
  if (!sure) return act();
  if (!pending.has(button)) return startConfirm(button, sure);
  // The second half of a double click does not confirm: the user has not read the question yet.
  if (detail > 1) return undefined;
  resetConfirm(button);
  return act();
}

/**
 * Sets the label of a button, now or once its question ends.
 *
 * @param {HTMLElement} button
 * @param {string} label
 */
export function label(button, label) {
  const confirm = pending.get(button);
  if (confirm) confirm.label = label;
  else if (button.textContent !== label) button.textContent = label;
}

/**
 * Ends the question of a button.
 *
 * @param {HTMLElement} button
 */
export function resetConfirm(button) {
  const confirm = pending.get(button);
  if (!confirm) return;
  clearTimeout(confirm.timer);
  pending.delete(button);
  button.textContent = confirm.label;
  delete button.dataset.first;
}

function startConfirm(button, sure) {
  pending.set(button, { label: button.textContent, timer: window.setTimeout(() => resetConfirm(button), CONFIRM_TIMEOUT_MS) });
  // The style sheet marks a button that asks by it.
  button.dataset.first = button.textContent;
  button.textContent = sure;
}
