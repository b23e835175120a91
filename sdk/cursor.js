/**
 * Which frames have been told already. Streams overlap where one takes over
 * from another; a write, of one or more frames, must still be told once.
 *
 * @import {Frame} from './types.js'
 */

import { isNewer, parsePosition, positionText } from './position.js';

// Frames of a write, of which there may be several at one position. All others are told as they come.
const WRITTEN = new Set(['STATE_UPDATE', 'TIME_EXPIRED']);

export class Cursor {
  #newest = null;
  // Of the newest position. A whole state stands for all of them.
  #told = 0;

  /** The newest position told of, where a stream shall go on. @returns {string|null} */
  get last() {
    return this.#newest && positionText(this.#newest);
  }

  /**
   * For one stream, asked about each of its frames in turn: whether it is to be told.
   *
   * @returns {(frame: Frame) => boolean}
   */
  reader() {
    let here = null;
    let count = 0;
    return (frame) => {
      const position = parsePosition(frame.position);
      if (position && frame.type === 'STATE_SYNC') this.#reach(position, Infinity);
      if (!position || !WRITTEN.has(frame.type)) return true;
      count = here === frame.position ? count + 1 : 1;
      here = frame.position;
      return this.#reach(position, count);
    };
  }

  // The same write has the same frames in the same order on every stream, so counting them is enough.
  #reach(position, count) {
    const isFurther = isNewer(position, this.#newest);
    const isSame = !isFurther && !isNewer(this.#newest, position);
    if (!isFurther && !(isSame && count > this.#told)) return false;
    this.#newest = position;
    this.#told = count;
    return true;
  }
}
