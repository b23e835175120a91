/**
 * The events of a client.
 *
 * @import {ActionType, Edge, Snapshot} from './types.js'
 * @import {SyncKairosError} from './problem.js'
 *
 * @typedef {object} OfSession
 * @property {string} sessionId
 *
 * @typedef {object} TimeSync How well cluster time is known.
 * @property {number} offset Cluster time minus the device's clock, in ms.
 * @property {number|null} roundTrip Of the best exchange, in ms.
 * @property {number|null} uncertainty How far `getServerTime` may be off, in ms.
 *
 * @typedef {object} ExpiredClock
 * @property {string} [participant_id]
 * @property {string} [group_id]
 * @property {string} expired_at
 * @property {ActionType} [action]
 *
 * @typedef {object} Events
 * @property {OfSession & {session: Snapshot}} update A newer snapshot.
 * @property {OfSession} connected Frames arrive.
 * @property {OfSession & {code: number, reason: string}} disconnected No frames arrive any more.
 * @property {OfSession & {attempt: number, delay: number}} reconnecting The next try comes in `delay` ms.
 * @property {OfSession & {attempts: number}} connectionFailed `maxAttempts` tries in a row failed, or a further one cannot help.
 * @property {OfSession} stale The stream is open, but no frame arrives.
 * @property {OfSession} fresh Frames arrive again.
 * @property {TimeSync} timeSynced After each exchange.
 * @property {{offset: number}} clockSkewDetected The device's clock is wrong by more than `warnSkewMs`.
 * @property {OfSession & Omit<Edge, 'type'>} timeWarning A clock reached one of `warnings_ms`.
 * @property {OfSession & ExpiredClock} timeExpired A clock ran out.
 * @property {OfSession & Edge} cue Any edge of a session: also a start, a period and a reserve.
 * @property {{sessionId?: string, error: SyncKairosError}} error
 */

/** @type {(keyof Events)[]} */
export const EVENTS = [
  'update', 'connected', 'disconnected', 'reconnecting', 'connectionFailed', 'stale', 'fresh',
  'timeSynced', 'clockSkewDetected', 'timeWarning', 'timeExpired', 'cue', 'error',
];
