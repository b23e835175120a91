/** Keyboard shortcuts, where no form field or button handles the key. */

/**
 * @param {import('./commands.js').CommandSender} actions
 * @param {() => void} announceTime For screen readers.
 */
export function openKeyboard(actions, announceTime) {
  const keys = { ' ': () => actions.foremost(), p: () => actions.togglePause(), t: announceTime };
  document.addEventListener('keydown', (event) => {
    // A held key presses a button repeatedly, which would confirm its own question.
    if (event.repeat && event.key === 'Enter' && event.target.closest('button')) event.preventDefault();
    const action = keys[event.key.toLowerCase()];
    if (!action || isHandledElsewhere(event)) return;
    event.preventDefault();
    if (!event.repeat) action();
  });
  // Some browsers press a button on the release of Space, even if its press was handled.
  document.addEventListener('keyup', (event) => {
    if (event.key === ' ' && event.target.closest('.face-button')) event.preventDefault();
  });
}

// A button handles Space itself, except a clock: there Space always acts on the running one.
function isHandledElsewhere({ target, key, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey || target.closest('input, textarea, select')) return true;
  return key === ' ' && target.closest('button, a') !== null && !target.closest('.face-button');
}
