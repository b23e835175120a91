/**
 * When the outage of a restored session began. The snapshot tells when it was restored and from which version, but not
 * how far that version's clocks had run; the time charged since shows that. Pure except for `read`.
 */

import { activeId } from '/sdk/clock.js';
import { msOf } from '/sdk/instant.js';
import { clockOf, isSimultaneous } from './clocks.js';

export class Outage {
  /** The newest running snapshot, to which the restored one is compared. */
  #lastRunning = null;
  #recoveredAt = null;
  #startedMs = null;

  /** @param {{read: (time: string) => Promise<any>, onFound: () => void}} parts `read` returns the session at a past instant; `onFound` is called once `startedMs` is known. */
  constructor({ read, onFound }) {
    Object.assign(this, { read, onFound });
  }

  /** When the outage began, in cluster time; null if unknown. */
  get startedMs() {
    return this.#startedMs;
  }

  /** @param {any} session The present snapshot. */
  update(session) {
    if (session.status === 'running') this.#lastRunning = session;
    if (!isOutage(session) || session.recovered_at === this.#recoveredAt) return;
    this.#recoveredAt = session.recovered_at;
    this.#startedMs = this.#lastRunning?.version === session.version ? startedMs(this.#lastRunning, session) : null;
    if (this.#startedMs === null) this.#readBefore(session);
  }

  // A window that was opened later must read the running version.
  async #readBefore(session) {
    const before = await this.read(session.recovered_from).catch(() => null);
    if (!before || this.#recoveredAt !== session.recovered_at) return;
    this.#startedMs = startedMs(before, session);
    this.onFound();
  }
}

function isOutage(session) {
  return session.pause_reasons?.includes('outage') && Boolean(session.recovered_from);
}

/**
 * The instant up to which `after` was charged; `before` is the running version it was restored from.
 *
 * @param {any} before
 * @param {any} after
 * @returns {number|null} Unix ms; null if the two do not show it.
 */
export function startedMs(before, after) {
  const charged = isSimultaneous(before) ? longestCharged(before, after) : chargedInTurns(before, after);
  if (charged === null || charged < msOf(after.recovered_from) || charged > msOf(after.recovered_at)) return null;
  return charged;
}

function chargedInTurns(before, after) {
  const anchor = before.status === 'running' ? msOf(before.cycle_started_at) : null;
  const used = after.time_used_ms - before.time_used_ms + delayUsed(before, after);
  return anchor !== null && used > 0 ? anchor + used : null;
}

// A delay passes without a charge.
function delayUsed(before, after) {
  const left = (session) => clockOf(session, activeId(before)).delay_left_ms ?? 0;
  return Math.max(0, left(before) - left(after));
}

// One of several running clocks may have run out earlier; the latest end counts.
function longestCharged(before, after) {
  const clocks = before.sync_mode === 'per_group' ? before.groups : before.participants;
  const ends = clocks.filter((one) => one.status === 'running' && one.cycle_started_at).map((one) => {
    const then = clockOf(after, one.participant_id ?? one.group_id);
    return msOf(one.cycle_started_at) + (then.time_used_ms ?? 0) - (one.time_used_ms ?? 0);
  });
  return ends.length > 0 ? Math.max(...ends) : null;
}
