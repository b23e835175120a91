/**
 * Gives each cue of a session once: at its instant by cluster time, or by a message of the server, whichever comes
 * first. None while cluster time is unknown.
 *
 * @import {ClockSync} from './sync.js'
 * @import {Edge, Snapshot, TimeExpired, TimeWarning} from './types.js'
 * @import {Timers} from './timers.js'
 */

import { edgesBetween, keyOf, nextEdgeMs } from './edges.js';

// A cue that is later is left out: the page slept, and the session may have gone on otherwise.
const MAX_LATENESS_MS = 2000;

// The longest span of the platform's timers is 24.8 days.
const MAX_WAIT_MS = 6 * 3_600_000;

// So many cues are remembered, so that none is given twice.
const MAX_GIVEN = 1000;

export class Cues {
  /** @type {Set<string>} */
  #given = new Set();
  /** @type {Snapshot|null} */
  #session = null;
  #sinceMs = Infinity;
  /** @type {any} */
  #timer = null;

  /** @param {{timers: Timers, sync: ClockSync, give: (edge: Edge, session: Snapshot|null) => void}} parts */
  constructor({ timers, sync, give }) {
    this.timers = timers;
    this.sync = sync;
    this.give = give;
  }

  /**
   * The session has changed. What was due before the change did happen.
   *
   * @param {Snapshot} session
   */
  update(session) {
    const before = this.#session;
    if (this.sync.hasSample) this.#giveUpTo(Math.min(this.sync.now(), Date.parse(session.updated_at)));
    this.#session = session;
    if (session.status === 'expired' && before && before.status !== 'expired') this.#expired(before, session);
    this.plan();
  }

  /**
   * A message told it.
   *
   * @param {TimeWarning} warning
   */
  warned(warning) {
    this.#once({ ...warning, type: 'warning' });
  }

  /** @param {TimeExpired} expired */
  told({ expired_at: at, ...expired }) {
    this.#once({ ...expired, at, type: 'expiry', remaining_ms: 0 });
  }

  /** Waits for the next cue; called again when cluster time was corrected. */
  plan() {
    this.timers.clear(this.#timer);
    if (!this.#session || !this.sync.hasSample) return;
    const now = this.sync.now();
    this.#sinceMs = Math.min(this.#sinceMs, now);
    this.#giveUpTo(now);
    const next = this.#session && nextEdgeMs(this.#session, now);
    if (next !== null) this.#timer = this.timers.set(() => this.plan(), Math.min(Math.ceil(next - now), MAX_WAIT_MS));
  }

  stop() {
    this.timers.clear(this.#timer);
    this.#session = null;
    this.#sinceMs = Infinity;
  }

  /**
   * Also where the message was missed and the page slept.
   *
   * @param {Snapshot} before
   * @param {Snapshot} session
   */
  #expired(before, session) {
    const passed = edgesBetween(before, -Infinity, Date.parse(session.updated_at));
    passed.filter(({ type }) => type === 'expiry').forEach((edge) => this.#once(edge));
  }

  /** @param {number} nowMs */
  #giveUpTo(nowMs) {
    if (!this.#session) return;
    const from = Math.max(this.#sinceMs, nowMs - MAX_LATENESS_MS);
    edgesBetween(this.#session, from, nowMs).forEach((edge) => this.#once(edge));
  }

  /** @param {Edge} edge */
  #once(edge) {
    const key = keyOf(edge);
    if (this.#given.has(key)) return;
    if (this.#given.size >= MAX_GIVEN) this.#given = new Set([...this.#given].slice(MAX_GIVEN / 2));
    this.#given.add(key);
    this.give(edge, this.#session);
  }
}
