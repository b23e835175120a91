/** Keeps a phone's screen on while a clock runs, if the browser can. */

let lock = null;

/** @param {boolean} isRunning */
export async function keepAwake(isRunning) {
  if (!isRunning || document.hidden) return releaseLock();
  if (lock && !lock.released) return;
  lock = await navigator.wakeLock?.request('screen').catch(() => null);
}

function releaseLock() {
  lock?.release();
  lock = null;
}
