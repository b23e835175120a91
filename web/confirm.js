/** What cannot be taken back is asked twice, on the same spot. */

// A second press within this long means it.
const SURE_MS = 4000;

/** @type {WeakMap<HTMLElement, {label: string, timer: number}>} */
const asking = new WeakMap();

/**
 * @param {MouseEvent} event A press of a button with what it asks the second time in `data-sure`, if it asks at all.
 * @param {() => void} act
 */
export function confirmPress({ currentTarget, detail }, act) {
  const button = /** @type {HTMLElement} */ (currentTarget);
  const { sure } = button.dataset;
  if (!sure) return act();
  if (!asking.has(button)) return ask(button, sure);
  // The other half of a double click answers nothing: nobody has read the question yet.
  if (detail > 1) return undefined;
  resetConfirm(button);
  return act();
}

/**
 * Names a button, or what it will be called once it does not ask any more.
 *
 * @param {HTMLElement} button
 * @param {string} label
 */
export function label(button, label) {
  const asked = asking.get(button);
  if (asked) asked.label = label;
  else if (button.textContent !== label) button.textContent = label;
}

/**
 * Takes the question back: the button does not ask any more.
 *
 * @param {HTMLElement} button
 */
export function resetConfirm(button) {
  const asked = asking.get(button);
  if (!asked) return;
  clearTimeout(asked.timer);
  asking.delete(button);
  button.textContent = asked.label;
  delete button.dataset.first;
}

function ask(button, sure) {
  asking.set(button, { label: button.textContent, timer: window.setTimeout(() => resetConfirm(button), SURE_MS) });
  // The style sheet knows by it that the button asks.
  button.dataset.first = button.textContent;
  button.textContent = sure;
}
