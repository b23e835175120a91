/**
 * What tests and curious people can ask of the page: `window.synckairos`.
 * Read only, and always by the same road as what is on the screen.
 */

import { read, shownMs } from '/sdk/clock.js';

/**
 * @param {import('/sdk/connection.js').Connection} connection
 * @param {import('./clock-grid.js').ClockGrid} grid
 */
export function installTestHooks(connection, grid) {
  Object.defineProperty(window, 'synckairos', {
    value: Object.freeze({
      /** The snapshot held. */
      get session() {
        return connection.session;
      },
      /** connecting, live, stale, away or closed. */
      get state() {
        return connection.state;
      },
      /** Which transport carries it, and what speaks against the others. */
      get transport() {
        return connection.transport;
      },
      get objections() {
        return { ...connection.fallback.objections };
      },
      sync: connection.sync,
      /** Everything that is told, as it comes. */
      on: (name, listener) => connection.on(name, listener),
      /** Cluster time in ms. */
      now: () => connection.now(),
      /** What the clock `id` shows now. */
      shownMs: (id) => shownMs(connection.session, id, connection.now()),
      /** All of it at one instant, with the device's own clock beside it, so that two windows can be compared. */
      sample: () => sample(connection, grid),
    }),
  });
}

function sample(connection, grid) {
  const wallMs = Date.now();
  const nowMs = connection.now();
  const clock = (card) => {
    const { shown_ms: shown, is_running: isRunning } = read(connection.session, card.id, nowMs);
    // Which way it moves: the sand of one who waits rises, though that clock does not run.
    const pace = Math.sign(shownMs(connection.session, card.id, nowMs + 1) - shown);
    return { shownMs: shown, isRunning, pace, text: card.digits.textContent };
  };
  const clocks = Object.fromEntries(grid.all().map((card) => [card.id, clock(card)]));
  return { wallMs, nowMs, version: connection.session?.version, status: connection.session?.status, clocks };
}
