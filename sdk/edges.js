/**
 * The cues of a session, from what the snapshot says will happen if nobody
 * acts: a client fires its own, so that a running timer needs no messages.
 *
 * @import {Edge, Snapshot} from './types.js'
 */

import { msOf } from './instant.js';

/**
 * The edges passed since `fromMs`, up to and with `toMs`, in order.
 *
 * @param {Snapshot} snapshot
 * @param {number} fromMs
 * @param {number} toMs
 * @returns {Edge[]}
 */
export function edgesBetween(snapshot, fromMs, toMs) {
  const isPassed = (edge) => msOf(edge.at) > fromMs && msOf(edge.at) <= toMs;
  return edgesOf(snapshot).filter(isPassed).sort((a, b) => msOf(a.at) - msOf(b.at));
}

// In a simultaneous session the session lists the earliest of each clock's own, so one may stand twice.
function edgesOf(snapshot) {
  const own = [...snapshot.participants, ...(snapshot.groups ?? [])].flatMap((clock) => clock.edges ?? []);
  const all = [...(snapshot.edges ?? []), ...own];
  return [...new Map(all.map((edge) => [keyOf(edge), edge])).values()];
}

/**
 * Names an edge, so that a cue told twice is given once.
 *
 * @param {Edge} edge
 */
export function keyOf(edge) {
  return [edge.at, edge.type, edge.participant_id ?? edge.group_id ?? ''].join(' ');
}
