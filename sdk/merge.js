/**
 * Merges an incoming snapshot into the current one. Frames, answers and reads may come in
 * any order and twice; the position decides.
 *
 * @import {Clock, Group, Participant, Snapshot} from './types.js'
 *
 * @typedef {Snapshot & {changed?: Participant[], changed_groups?: Group[]}} Incoming A snapshot, or a part of one.
 */

import { isNewer } from './position.js';

/**
 * Returns `current` itself if `incoming` is not newer; null if `incoming` is a part of a snapshot and the
 * version before it is missing, so that the caller must fetch a whole snapshot.
 *
 * @param {Snapshot|null} current
 * @param {Incoming} incoming
 * @param {boolean} [isPartial] It has only the `changed` clocks.
 * @returns {Snapshot|null}
 */
export function merge(current, incoming, isPartial = false) {
  if (!isNewer(incoming, current)) return current;
  if (!isPartial) return incoming;
  return current && follows(current, incoming) ? patch(current, incoming) : null;
}

/**
 * @param {Snapshot} current
 * @param {Incoming} incoming
 */
function follows(current, incoming) {
  return current.epoch === incoming.epoch && current.version + 1 === incoming.version;
}

/**
 * @param {Snapshot} current
 * @param {Incoming} incoming
 * @returns {Snapshot}
 */
function patch(current, { changed, changed_groups: changedGroups, ...incoming }) {
  return {
    ...current,
    ...incoming,
    participants: replace('participant_id', current.participants, changed),
    groups: replace('group_id', current.groups, changedGroups),
  };
}

/**
 * @template {Clock} T
 * @param {'participant_id'|'group_id'} key
 * @param {T[]} [current]
 * @param {T[]} [changed]
 * @returns {T[]}
 */
function replace(key, current = [], changed = []) {
  const byId = new Map(changed.map((one) => [one[key], one]));
  return current.map((one) => byId.get(one[key]) ?? one);
}
