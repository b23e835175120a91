/**
 * Read-only hooks for tests: `window.synckairos`. They read from the same code as the screen.
 */

import { read, shownMs } from '/sdk/clock.js';

/**
 * @param {import('/sdk/connection.js').Connection} connection
 * @param {import('./clock-grid.js').ClockGrid} grid
 */
export function installTestHooks(connection, grid) {
  Object.defineProperty(window, 'synckairos', {
    value: Object.freeze({
      /** The present snapshot. */
      get session() {
        return connection.session;
      },
      /** connecting, live, stale, away or closed. */
      get state() {
        return connection.state;
      },
      /** The transport in use, and why better ones failed. */
      get transport() {
        return connection.transport;
      },
      get objections() {
        return { ...connection.fallback.objections };
      },
      sync: connection.sync,
      /** The events of the connection. */
      on: (name, listener) => connection.on(name, listener),
      /** Cluster time in ms. */
      now: () => connection.now(),
      /** The time that the clock `id` shows now. */
      shownMs: (id) => shownMs(connection.session, id, connection.now()),
      /** All clocks at one instant, with the device's own clock, to compare two windows. */
      sample: () => sample(connection, grid),
    }),
  });
}

function sample(connection, grid) {
  const wallMs = Date.now();
  const nowMs = connection.now();
  const clock = (card) => {
    const { shown_ms: shown, is_running: isRunning } = read(connection.session, card.id, nowMs);
    // The direction it moves in: an hourglass that waits rises, although it does not run.
    const pace = Math.sign(shownMs(connection.session, card.id, nowMs + 1) - shown);
    return { shownMs: shown, isRunning, pace, text: card.digits.textContent };
  };
  const clocks = Object.fromEntries(grid.all().map((card) => [card.id, clock(card)]));
  return { wallMs, nowMs, version: connection.session?.version, status: connection.session?.status, clocks };
}
