/** Paints in every animation frame while clocks run, and not at all while none does. */

export class FrameLoop {
  #frame = 0;

  /** @param {{paint: () => void, isMoving: () => boolean}} parts */
  constructor({ paint, isMoving }) {
    this.paint = paint;
    this.isMoving = isMoving;
  }

  /** Paints once, and goes on while clocks run. */
  wake() {
    this.#frame ||= requestAnimationFrame(() => this.#step());
  }

  #step() {
    this.#frame = 0;
    this.paint();
    if (this.isMoving()) this.wake();
  }
}
