/** What cannot be taken back is asked twice, on the same spot. */

// A second press within this long means it.
const SURE_MS = 4000;

/**
 * @param {HTMLElement} button With what it asks the second time in `data-sure`.
 * @param {() => void} act
 */
export function askTwice(button, act) {
  const { sure, first } = button.dataset;
  if (!sure) return act();
  if (first) {
    calm(button);
    return act();
  }
  button.dataset.first = button.textContent;
  button.textContent = sure;
  setTimeout(() => calm(button), SURE_MS);
}

function calm(button) {
  if (!button.dataset.first) return;
  button.textContent = button.dataset.first;
  delete button.dataset.first;
}
