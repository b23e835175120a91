/**
 * When to draw: in the display's next frame, at most once a frame. A browser gives a hidden page no frames, so nothing
 * is drawn while the page is hidden.
 */

// The longest wait before a look at the clock; the platform's timers end at 24.8 days.
const MAX_WAIT_MS = 3_600_000;

// Where nothing draws frames, as in a test of React without a browser.
const FRAME_MS = 16;

export class Display {
  /** @type {(() => void)|null} Takes the request for a frame back. */
  #cancel = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;

  /** @param {() => void} draw */
  constructor(draw) {
    this.draw = draw;
  }

  /** Draws in the next frame. */
  request() {
    this.#cancel ??= onNextFrame(() => {
      this.#cancel = null;
      this.draw();
    });
  }

  /**
   * Draws in the first frame after a wait. A later call replaces an earlier one.
   *
   * @param {number|null} ms null: not by itself.
   */
  requestIn(ms) {
    clearTimeout(this.#timer);
    if (ms !== null) this.#timer = setTimeout(() => this.request(), Math.min(ms, MAX_WAIT_MS));
  }

  stop() {
    clearTimeout(this.#timer);
    this.#cancel?.();
    this.#cancel = null;
  }
}

/**
 * @param {() => void} draw
 * @returns {() => void}
 */
function onNextFrame(draw) {
  if ('requestAnimationFrame' in globalThis) {
    const frame = requestAnimationFrame(draw);
    return () => cancelAnimationFrame(frame);
  }
  const timer = setTimeout(draw, FRAME_MS);
  return () => clearTimeout(timer);
}
