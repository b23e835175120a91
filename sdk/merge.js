/**
 * From the snapshot held and one that came to the one to hold. Frames, answers
 * and reads may come in any order and twice; the position decides.
 *
 * @import {Clock, Snapshot} from './types.js'
 */

import { isNewer } from './position.js';

/**
 * `held` itself where `came` brings nothing newer; null where `came` is only a part and what
 * it builds on was missed, so that a whole snapshot must be asked for.
 *
 * @param {Snapshot|null} held
 * @param {Snapshot & {changed?: Clock[], changed_groups?: Clock[]}} came
 * @param {boolean} [isPartial] Only the `changed` clocks stand in it.
 * @returns {Snapshot|null}
 */
export function merge(held, came, isPartial = false) {
  if (!isNewer(came, held)) return held;
  if (!isPartial) return came;
  return held && follows(held, came) ? patched(held, came) : null;
}

function follows(held, came) {
  return held.epoch === came.epoch && held.version + 1 === came.version;
}

function patched(held, { changed, changed_groups: changedGroups, ...came }) {
  return {
    ...held,
    ...came,
    participants: replaced(held.participants, changed, 'participant_id'),
    groups: replaced(held.groups, changedGroups, 'group_id'),
  };
}

function replaced(held = [], changed = [], key) {
  const byId = new Map(changed.map((one) => [one[key], one]));
  return held.map((one) => byId.get(one[key]) ?? one);
}
