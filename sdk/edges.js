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
  const isPassed = (/** @type {Edge} */ edge) => Date.parse(edge.at) > fromMs && Date.parse(edge.at) <= toMs;
  return edgesOf(snapshot).filter(isPassed).sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

/**
 * In a simultaneous session, the session's list repeats the earliest edge of each clock.
 *
 * @param {Snapshot} snapshot
 * @returns {Edge[]}
 */
function edgesOf(snapshot) {
  const own = [...snapshot.participants, ...(snapshot.groups ?? [])].flatMap((clock) => clock.edges ?? []);
  const all = [...(snapshot.edges ?? []), ...own];
  return [...new Map(all.map((edge) => [keyOf(edge), edge])).values()];
}

/**
 * A key for an edge, so that a cue is given once.
 *
 * @param {Edge} edge
 */
export function keyOf(edge) {
  return [edge.at, edge.type, edge.participant_id ?? edge.group_id ?? ''].join(' ');
}
