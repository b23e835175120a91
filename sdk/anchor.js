/**
 * Which clock runs, and since when. A display computes everything from that one instant, so
 * a running session needs no messages.
 *
 * @import {Clock, Participant, Snapshot} from './types.js'
 */

import { msOf } from './instant.js';

/**
 * How long `clock` (null: the session's own) has been using time since its anchor; 0 while it stands still.
 *
 * @param {Snapshot} snapshot
 * @param {Clock|null} clock
 * @param {number} nowMs
 */
export function elapsedMs(snapshot, clock, nowMs) {
  const anchor = anchorMs(snapshot, clock, nowMs);
  // An anchor may lie ahead: a scheduled start, or a server a few milliseconds ahead of us.
  return anchor === null ? 0 : Math.max(0, nowMs - anchor);
}

/**
 * @param {Snapshot} snapshot
 * @param {Clock|null} clock
 * @param {number} nowMs
 * @returns {boolean}
 */
export function isRunning(snapshot, clock, nowMs) {
  const anchor = anchorMs(snapshot, clock, nowMs);
  return anchor !== null && anchor <= nowMs;
}

/**
 * Whose turn it is, or will be at a scheduled start.
 *
 * @param {Snapshot} snapshot
 * @returns {string|null}
 */
export function activeId(snapshot) {
  return snapshot.active_participant_id ?? inTurnOrder(snapshot)[0]?.participant_id ?? null;
}

/**
 * Whose group's turn it is, or will be at a scheduled start.
 *
 * @param {Snapshot} snapshot
 * @returns {string|null}
 */
export function activeGroupId(snapshot) {
  const first = snapshot.participants.find((one) => one.participant_id === activeId(snapshot));
  return snapshot.active_group_id ?? first?.group_id ?? snapshot.groups?.[0]?.group_id ?? null;
}

/**
 * @param {Snapshot} snapshot
 * @returns {Participant[]}
 */
export function inTurnOrder(snapshot) {
  const seat = (/** @type {Participant} */ one) => one.participant_index ?? 0;
  return [...snapshot.participants].sort((a, b) => seat(a) - seat(b));
}

/** @param {Snapshot} snapshot */
export function isSimultaneous(snapshot) {
  return snapshot.concurrency === 'simultaneous';
}

/**
 * @param {Snapshot} snapshot
 * @param {Clock|null} clock
 * @param {number} nowMs
 */
function anchorMs(snapshot, clock, nowMs) {
  if (clock && isSimultaneous(snapshot)) return anchorOf(clock, snapshot, nowMs);
  if (clock && !isActive(snapshot, clock)) return null;
  return anchorOf(snapshot, snapshot, nowMs);
}

/**
 * @param {Pick<Clock, 'status'|'cycle_started_at'>} timed
 * @param {Snapshot} snapshot
 * @param {number} nowMs
 */
function anchorOf(timed, snapshot, nowMs) {
  if (timed.status === 'running') return msOf(timed.cycle_started_at);
  return timed.status === 'pending' && hasBegun(snapshot, nowMs) ? msOf(snapshot.starts_at) : null;
}

/**
 * A scheduled start happens at its own instant, even before its frame arrives.
 *
 * @param {Snapshot} snapshot
 * @param {number} nowMs
 */
function hasBegun(snapshot, nowMs) {
  const startsAt = msOf(snapshot.starts_at);
  return startsAt !== null && startsAt <= nowMs;
}

/**
 * @param {Snapshot} snapshot
 * @param {Clock} clock
 */
function isActive(snapshot, clock) {
  if (clock.participant_id === undefined) return clock.group_id === activeGroupId(snapshot);
  return clock.participant_id === activeId(snapshot);
}
