/** Keeps a phone's screen on while a clock runs. Where that cannot be had, nothing is lost but comfort. */

let lock = null;

/** @param {boolean} isRunning */
export async function keepAwake(isRunning) {
  if (!isRunning || document.hidden) return dismissToast();
  if (lock && !lock.released) return;
  lock = await navigator.wakeLock?.request('screen').catch(() => null);
}

function dismissToast() {
  lock?.release();
  lock = null;
}
