/**
 * Frames: text on the wire, objects in this library.
 *
 * @import {Frame} from './types.js'
 */

import { SYNC_MODES } from './modes.js';

/** The type of a text that is no frame. The server sends no such type. */
export const UNREADABLE = 'UNREADABLE';

/** Every type of frame that this library knows. */
export const TYPES = new Set([
  'STATE_SYNC', 'STATE_UPDATE', 'TIME_EXPIRED', 'TIME_WARNING', 'SESSION_DELETED', 'SESSION_NOT_FOUND',
  'HEARTBEAT', 'RECONNECT_ACK', 'PONG', 'ACK', 'ERROR',
]);

/**
 * A text that is no JSON object becomes a frame of type `UNREADABLE`: one mangled frame must not end the stream.
 *
 * @param {string} text
 * @returns {Frame}
 */
export function parseFrame(text) {
  const frame = parseObject(text);
  return typeof frame?.type === 'string' ? frame : { type: UNREADABLE };
}

/**
 * @param {string} text
 * @returns {any} null if it is not JSON.
 */
export function parseObject(text) {
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

/**
 * Whether this library can use the frame. A newer server may send types, or sync modes, that it does not know.
 *
 * @param {Frame} frame
 */
export function isUnderstood(frame) {
  if (!TYPES.has(frame.type)) return false;
  return !frame.type.startsWith('STATE_') || isSnapshot(bodyOf(frame));
}

/** @param {any} body */
function isSnapshot({ epoch, version, sync_mode: mode }) {
  return Number.isInteger(epoch) && Number.isInteger(version) && (mode === undefined || SYNC_MODES.includes(mode));
}
