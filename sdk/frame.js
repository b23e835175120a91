/**
 * Frames as they travel: text on the wire, objects in here.
 *
 * @import {Frame} from './types.js'
 */

/**
 * A proxy that mangles one frame is no reason to lose the stream; the position shows what was missed.
 *
 * @param {string} text
 * @returns {Frame|null}
 */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * What a frame says. Fields stand in the payload; beside it they are understood too.
 *
 * @param {Frame} frame
 * @returns {any}
 */
export function bodyOf(frame) {
  return frame.payload ?? frame;
}
