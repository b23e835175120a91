/**
 * Merges an incoming snapshot into the current one. Frames, answers and reads may come in
 * any order and twice; the position decides.
 *
 * @import {Clock, Snapshot} from './types.js'
 */

import { isNewer } from './position.js';

/**
 * Returns `current` itself if `incoming` is not newer; null if `incoming` is a part of a snapshot and the
 * version before it is missing, so that the caller must fetch a whole snapshot.
 *
 * @param {Snapshot|null} current
 * @param {Snapshot & {changed?: Clock[], changed_groups?: Clock[]}} incoming
 * @param {boolean} [isPartial] It has only the `changed` clocks.
 * @returns {Snapshot|null}
 */
export function merge(current, incoming, isPartial = false) {
  if (!isNewer(incoming, current)) return current;
  if (!isPartial) return incoming;
  return current && follows(current, incoming) ? patch(current, incoming) : null;
}

function follows(current, incoming) {
  return current.epoch === incoming.epoch && current.version + 1 === incoming.version;
}

function patch(current, { changed, changed_groups: changedGroups, ...incoming }) {
  return {
    ...current,
    ...incoming,
    participants: replace(current.participants, changed, 'participant_id'),
    groups: replace(current.groups, changedGroups, 'group_id'),
  };
}

function replace(current = [], changed = [], key) {
  const byId = new Map(changed.map((one) => [one[key], one]));
  return current.map((one) => byId.get(one[key]) ?? one);
}
