/**
 * The cues of a session, from the edges of its snapshot. A client fires its own cues, so
 * that a running timer needs no messages.
 *
 * @import {Edge, Snapshot} from './types.js'
 */

/**
 * The edges passed since `fromMs`, up to and with `toMs`, in order.
 *
 * @param {Snapshot} snapshot
 * @param {number} fromMs
 * @param {number} toMs
 * @returns {Edge[]}
 */
export function edgesBetween(snapshot, fromMs, toMs) {
  const isPassed = (/** @type {Edge} */ edge) => dueMs(snapshot, edge) > fromMs && dueMs(snapshot, edge) <= toMs;
  const passed = new Map(edgesOf(snapshot).filter(isPassed).map((edge) => [keyOf(edge), edge]));
  return [...passed.values()].sort((a, b) => dueMs(snapshot, a) - dueMs(snapshot, b));
}

/**
 * The instant of the next edge after `nowMs`; null if there is none.
 *
 * @param {Snapshot} snapshot
 * @param {number} nowMs
 * @returns {number|null}
 */
export function nextEdgeMs(snapshot, nowMs) {
  let next = Infinity;
  for (const edge of edgesOf(snapshot)) {
    const at = dueMs(snapshot, edge);
    if (at > nowMs && at < next) next = at;
  }
  return next === Infinity ? null : next;
}

/**
 * With a lag policy the server waits for a switch on its way, and so does the cue of an expiry.
 *
 * @param {Snapshot} snapshot
 * @param {Edge} edge
 */
function dueMs(snapshot, edge) {
  const waits = edge.type === 'expiry' && edge.at === snapshot.deadline_at && snapshot.expires_by;
  return Date.parse(waits || edge.at);
}

/**
 * In a simultaneous session, the session's list repeats the earliest edge of each clock.
 *
 * @param {Snapshot} snapshot
 * @returns {Edge[]}
 */
function edgesOf(snapshot) {
  const clocks = [...snapshot.participants, ...(snapshot.groups ?? [])];
  return [...(snapshot.edges ?? []), ...clocks.flatMap((clock) => clock.edges ?? [])];
}

/**
 * A key for an edge, so that a cue is given once. Of a group's clock a message also names the participant.
 *
 * @param {Pick<Edge, 'at'|'type'|'participant_id'|'group_id'>} edge
 */
export function keyOf(edge) {
  return [edge.at, edge.type, edge.group_id ?? edge.participant_id ?? ''].join(' ');
}
