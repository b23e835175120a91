/**
 * Frames: text on the wire, objects in this library.
 *
 * @import {Frame} from './types.js'
 */

/**
 * Null for invalid JSON: one mangled frame must not end the stream, and the position shows the gap.
 *
 * @param {string} text
 * @returns {Frame|null}
 */
export function parseFrame(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * The body of a frame: its payload, or the frame itself if it has none.
 *
 * @param {Frame} frame
 * @returns {any}
 */
export function bodyOf(frame) {
  return frame.payload ?? frame;
}
