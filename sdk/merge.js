/**
 * From the snapshot held and one that came to the one to hold. Frames, answers
 * and reads may come in any order and twice; the position decides.
 *
 * @import {Snapshot} from './types.js'
 */

import { isNewer } from './position.js';

/**
 * `held` itself where `came` brings nothing newer; null where `came` is only a part and what
 * it builds on was missed, so that a whole snapshot must be asked for.
 *
 * @param {Snapshot|null} held
 * @param {Snapshot & {partial?: boolean}} came
 * @returns {Snapshot|null}
 */
export function merge(held, came) {
  if (!isNewer(came, held)) return held;
  if (!came.partial) return came;
  return held && follows(held, came) ? patched(held, came) : null;
}

function follows(held, came) {
  return held.epoch === came.epoch && held.version + 1 === came.version;
}

function patched(held, { partial, ...came }) {
  return {
    ...held,
    ...came,
    participants: overlaid(held.participants, came.participants, 'participant_id'),
    groups: overlaid(held.groups, came.groups, 'group_id'),
  };
}

function overlaid(held = [], changed = [], key) {
  const byId = new Map(held.map((one) => [one[key], one]));
  for (const one of changed) byId.set(one[key], { ...byId.get(one[key]), ...one });
  return [...byId.values()];
}
