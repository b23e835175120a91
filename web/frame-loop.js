/** Paints with the screen's own beat while something moves, and not at all while nothing does. */

export class FrameLoop {
  #frame = 0;

  /** @param {{paint: () => void, isMoving: () => boolean}} parts */
  constructor({ paint, isMoving }) {
    this.paint = paint;
    this.isMoving = isMoving;
  }

  /** Something changed: paint once, and go on if it moves. */
  wake() {
    this.#frame ||= requestAnimationFrame(() => this.#beat());
  }

  #beat() {
    this.#frame = 0;
    this.paint();
    if (this.isMoving()) this.wake();
  }
}
