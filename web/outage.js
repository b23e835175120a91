/**
 * When the server went away before a session came back paused. The snapshot tells when it was restored, and from which
 * version, but not how far that version's clock had run; that is what its clocks were charged since. Pure but for `read`.
 */

import { activeId } from '/sdk/clock.js';
import { msOf } from '/sdk/instant.js';
import { clockOf, isSimultaneous } from './clocks.js';

export class Outage {
  /** The newest snapshot that ran: what an outage is reckoned from. */
  #ran = null;
  #restoredAt = null;
  #beganMs = null;

  /** @param {{read: (time: string) => Promise<any>, found: () => void}} parts `read` gives the session at a past instant; `found`: `beganMs` is known now. */
  constructor({ read, found }) {
    Object.assign(this, { read, found });
  }

  /** When the outage began, by cluster time; null if nobody can say. */
  get beganMs() {
    return this.#beganMs;
  }

  /** @param {any} session The snapshot that is held now. */
  take(session) {
    if (session.status === 'running') this.#ran = session;
    if (!isOutage(session) || session.recovered_at === this.#restoredAt) return;
    this.#restoredAt = session.recovered_at;
    this.#beganMs = this.#ran?.version === session.version ? beganMs(this.#ran, session) : null;
    if (this.#beganMs === null) this.#ask(session);
  }

  // A window that was opened later has not seen the clock run.
  async #ask(session) {
    const before = await this.read(session.recovered_from).catch(() => null);
    if (!before || this.#restoredAt !== session.recovered_at) return;
    this.#beganMs = beganMs(before, session);
    this.found();
  }
}

function isOutage(session) {
  return session.pause_reasons?.includes('outage') && Boolean(session.recovered_from);
}

/**
 * The instant up to which `after` was charged, where `before` is the version it was restored from, still running.
 *
 * @param {any} before
 * @param {any} after
 * @returns {number|null} Unix ms; null if the two do not tell.
 */
export function beganMs(before, after) {
  const charged = isSimultaneous(before) ? longestCharged(before, after) : chargedInTurns(before, after);
  if (charged === null || charged < msOf(after.recovered_from) || charged > msOf(after.recovered_at)) return null;
  return charged;
}

function chargedInTurns(before, after) {
  const anchor = before.status === 'running' ? msOf(before.cycle_started_at) : null;
  const used = after.time_used_ms - before.time_used_ms + delayUsed(before, after);
  return anchor !== null && used > 0 ? anchor + used : null;
}

// A delay costs its clock nothing, yet it passes.
function delayUsed(before, after) {
  const left = (session) => clockOf(session, activeId(before)).delay_left_ms ?? 0;
  return Math.max(0, left(before) - left(after));
}

// Of clocks that run side by side one may have run out sooner; the longest tells.
function longestCharged(before, after) {
  const clocks = before.sync_mode === 'per_group' ? before.groups : before.participants;
  const ends = clocks.filter((one) => one.status === 'running' && one.cycle_started_at).map((one) => {
    const then = clockOf(after, one.participant_id ?? one.group_id);
    return msOf(one.cycle_started_at) + (then.time_used_ms ?? 0) - (one.time_used_ms ?? 0);
  });
  return ends.length > 0 ? Math.max(...ends) : null;
}
