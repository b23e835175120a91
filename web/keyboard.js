/** Keys that work wherever nothing else wants them. */

/**
 * @param {import('./commands.js').CommandSender} actions
 * @param {() => void} tell Says the time aloud.
 */
export function openKeyboard(actions, tell) {
  const keys = { ' ': () => actions.foremost(), p: () => actions.togglePause(), t: tell };
  document.addEventListener('keydown', (event) => {
    // A key that is held down presses a button again and again; that would answer its own question.
    if (event.repeat && event.key === 'Enter' && event.target.closest('button')) event.preventDefault();
    const act = keys[event.key.toLowerCase()];
    if (!act || isTaken(event)) return;
    event.preventDefault();
    if (!event.repeat) act();
  });
  // Some browsers press a button when Space comes up, whatever was said when it went down.
  document.addEventListener('keyup', (event) => {
    if (event.key === ' ' && event.target.closest('.face-button')) event.preventDefault();
  });
}

// A button answers Space itself, except a clock: there Space is always about the running one.
function isTaken({ target, key, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey || target.closest('input, textarea, select')) return true;
  return key === ' ' && target.closest('button, a') !== null && !target.closest('.face-button');
}
