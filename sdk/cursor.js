/**
 * Which frames have been delivered already. Streams overlap when one replaces another;
 * each frame of a write must still be delivered once.
 *
 * @import {Frame} from './types.js'
 * @import {Position} from './position.js'
 */

import { isNewer, parsePosition, positionText } from './position.js';

// Frames of a write, of which there may be several at one position. All others are delivered as they come.
const WRITE_FRAMES = new Set(['STATE_UPDATE', 'TIME_EXPIRED']);

export class Cursor {
  /** @type {Position|null} */
  #newest = null;
  // How many frames of the newest position were delivered. A whole state counts as all of them.
  #delivered = 0;

  /** The newest position delivered, from which a stream resumes. @returns {string|null} */
  get last() {
    return this.#newest && positionText(this.#newest);
  }

  /**
   * A filter for one stream, called for each frame in order: whether to deliver it.
   *
   * @returns {(frame: Frame) => boolean}
   */
  reader() {
    /** @type {string|undefined} */
    let here;
    let count = 0;
    return (frame) => {
      const position = parsePosition(frame.position);
      if (position && frame.type === 'STATE_SYNC') this.#reach(position, Infinity);
      if (!position || !WRITE_FRAMES.has(frame.type)) return true;
      count = here === frame.position ? count + 1 : 1;
      here = frame.position;
      return this.#reach(position, count);
    };
  }

  /**
   * The same write has the same frames in the same order on every stream, so counting them is enough.
   *
   * @param {Position} position
   * @param {number} count
   */
  #reach(position, count) {
    const isFurther = isNewer(position, this.#newest);
    const isSame = this.#newest !== null && !isFurther && !isNewer(this.#newest, position);
    if (!isFurther && !(isSame && count > this.#delivered)) return false;
    this.#newest = position;
    this.#delivered = count;
    return true;
  }
}
