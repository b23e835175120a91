/**
 * The reading of each clock of a session at a given now. Nothing ticks: each reading is
 * computed from the last anchor, by the rules of the server, so two screens that agree on
 * now agree on the clock.
 *
 * @import {Clock, Phase, Snapshot, TimeControl} from './types.js'
 * @import {Bank, Spent} from './control.js'
 *
 * @typedef {object} Reading
 * @property {number} shown_ms Remaining; in `count_up`, elapsed.
 * @property {number} delay_left_ms The rest of the delay before main time.
 * @property {number|null} reserve_ms The reserve of a per-cycle clock after the cycle's own time.
 * @property {number} overrun_ms How long it has run past its end, if the session lets it.
 * @property {Phase} phase
 * @property {boolean} is_running
 * @property {boolean} is_out
 *
 * @typedef {Spent & Partial<Reading>} Shown What the clock itself tells of a reading.
 */

import { activeGroupId, activeId, elapsedMs, inTurnOrder, isRunning } from './anchor.js';
import { out, spend } from './control.js';
import { msOf } from './instant.js';

export { activeGroupId, activeId, inTurnOrder };

/** The id of the session's own clock. */
export const SESSION = 'session';

const MAIN = /** @type {Phase} */ ({ type: 'main' });

const READERS = {
  per_participant: readBank,
  per_group: readBank,
  per_cycle: readCycle,
  global: readGlobal,
  count_up: readElapsed,
};

/**
 * The reading of clock `id` at `nowMs` (cluster time): a participant's, a group's, or `"session"`.
 *
 * A participant without a bank shows the clock it runs on: a participant of a group its
 * group's, one of a `global` or `count_up` session the session's.
 *
 * @param {Snapshot} snapshot
 * @param {string} id
 * @param {number} nowMs
 * @returns {Reading}
 */
export function read(snapshot, id, nowMs) {
  const clock = clockOf(snapshot, id);
  const shown = READERS[snapshot.sync_mode](snapshot, clock, nowMs);
  const overrun = shown.is_out ? overrunMs(snapshot, clock, nowMs) : 0;
  return { reserve_ms: null, overrun_ms: overrun, ...shown, is_running: isRunning(snapshot, clock, nowMs) };
}

/**
 * @param {Snapshot} snapshot
 * @param {string} id
 * @param {number} nowMs
 */
export function shownMs(snapshot, id, nowMs) {
  return read(snapshot, id, nowMs).shown_ms;
}

/**
 * The ids of the clocks of a session, in turn order.
 *
 * @param {Snapshot} snapshot
 * @returns {string[]}
 */
export function clockIds(snapshot) {
  if (snapshot.sync_mode === 'global' || snapshot.sync_mode === 'count_up') return [SESSION];
  if (snapshot.sync_mode === 'per_group') return snapshot.groups?.map((group) => group.group_id) ?? [];
  return inTurnOrder(snapshot).map((one) => one.participant_id);
}

/**
 * The time until a scheduled start; null if there is none ahead.
 *
 * @param {Snapshot} snapshot
 * @param {number} nowMs
 */
export function startsInMs(snapshot, nowMs) {
  const startsAt = msOf(snapshot.starts_at);
  return snapshot.status === 'pending' && startsAt !== null && startsAt > nowMs ? startsAt - nowMs : null;
}

/**
 * The status of a session at `nowMs`: a scheduled start has happened once its instant has
 * passed, even before its frame arrives.
 *
 * @param {Snapshot} snapshot
 * @param {number} nowMs
 */
export function statusAt(snapshot, nowMs) {
  const hasBegun = snapshot.status === 'pending' && snapshot.starts_at && startsInMs(snapshot, nowMs) === null;
  return hasBegun ? 'running' : snapshot.status;
}

/**
 * Only a session whose clocks continue past zero has overruns.
 *
 * @param {Snapshot} snapshot
 * @param {Clock|null} clock
 * @param {number} nowMs
 */
function overrunMs(snapshot, clock, nowMs) {
  if (snapshot.action_on_timeout?.type !== 'continue') return 0;
  const owner = clock ?? snapshot;
  const left = (owner.total_time_ms ?? 0) + (clock?.delay_left_ms ?? 0);
  return (owner.overrun_ms ?? 0) + Math.max(0, elapsedMs(snapshot, clock, nowMs) - left);
}

/**
 * @param {Snapshot} snapshot
 * @param {string|null} id
 * @returns {Clock|null} null is the session's own clock.
 */
function clockOf(snapshot, id) {
  if (snapshot.sync_mode === 'global' || snapshot.sync_mode === 'count_up') return null;
  const group = snapshot.groups?.find((one) => one.group_id === id);
  const participant = snapshot.participants.find((one) => one.participant_id === activeOr(snapshot, id));
  if (snapshot.sync_mode !== 'per_group') return participant ?? null;
  return group ?? snapshot.groups?.find((one) => one.group_id === participant?.group_id) ?? null;
}

/**
 * @param {Snapshot} snapshot
 * @param {string|null} id
 */
function activeOr(snapshot, id) {
  return id === SESSION ? activeId(snapshot) : id;
}

/**
 * @param {Snapshot} snapshot
 * @param {Clock|null} clock
 * @param {number} nowMs
 * @returns {Shown}
 */
function readBank(snapshot, clock, nowMs) {
  if (!clock) return out(MAIN);
  const control = clock.time_control ?? snapshot.time_control ?? {};
  if (control.hourglass) return readHourglass(snapshot, clock, nowMs);
  if (clock.has_expired) return out(clock.phase ?? MAIN);
  const elapsed = isFree(snapshot, clock, control) ? 0 : elapsedMs(snapshot, clock, nowMs);
  return spend(bankOf(clock, control), elapsed);
}

/**
 * @param {Pick<Clock, 'total_time_ms'> & Partial<Clock>} clock
 * @param {TimeControl} control
 * @returns {Bank}
 */
function bankOf(clock, control) {
  return {
    left_ms: clock.total_time_ms ?? 0,
    delay_left_ms: clock.delay_left_ms ?? 0,
    phase: clock.phase ?? MAIN,
    overtime: control.overtime ?? null,
  };
}

/**
 * The first cycles of a participant may be free; the clock then stands still during the turn.
 *
 * @param {Snapshot} snapshot
 * @param {Clock} clock
 * @param {TimeControl} control
 */
function isFree(snapshot, clock, control) {
  const isActive = (/** @type {Clock} */ one) => one.participant_id === activeId(snapshot);
  const player = clock.participant_id === undefined ? snapshot.participants.find(isActive) : clock;
  return (player?.cycle_count ?? 0) < (control.free_cycles ?? 0);
}

/**
 * The time one participant uses goes to the other, live, until the running one is out. The sum never
 * changes, so even a participant that is out may gain time again.
 *
 * @param {Snapshot} snapshot
 * @param {Clock} clock
 * @param {number} nowMs
 * @returns {Shown}
 */
function readHourglass(snapshot, clock, nowMs) {
  const used = (/** @type {Clock} */ one) => Math.min(one.total_time_ms ?? 0, elapsedMs(snapshot, one, nowMs));
  const gained = snapshot.participants.filter((one) => one !== clock).reduce((sum, one) => sum + used(one), 0);
  const shown = spend({ ...bankOf(clock, {}), left_ms: (clock.total_time_ms ?? 0) + gained }, used(clock));
  return { ...shown, is_out: shown.is_out || Boolean(clock.has_expired) };
}

/**
 * @param {Snapshot} snapshot
 * @param {Clock|null} _clock
 * @param {number} nowMs
 * @returns {Shown}
 */
function readGlobal(snapshot, _clock, nowMs) {
  return spend(bankOf(snapshot, {}), elapsedMs(snapshot, null, nowMs));
}

/**
 * @param {Snapshot} snapshot
 * @param {Clock|null} _clock
 * @param {number} nowMs
 * @returns {Shown}
 */
function readElapsed(snapshot, _clock, nowMs) {
  const shown = (snapshot.time_used_ms ?? 0) + elapsedMs(snapshot, null, nowMs);
  const limit = snapshot.max_time_ms ?? Infinity;
  return { shown_ms: Math.min(shown, limit), delay_left_ms: 0, phase: MAIN, is_out: shown >= limit };
}

/**
 * The cycle's own time, then the reserve. A waiting participant shows the full cycle of its next turn.
 *
 * @param {Snapshot} snapshot
 * @param {Clock|null} clock
 * @param {number} nowMs
 * @returns {Shown}
 */
function readCycle(snapshot, clock, nowMs) {
  const reserve = clock?.total_time_ms ?? 0;
  const isTurn = !clock || clock.participant_id === activeId(snapshot);
  const cycleMs = isTurn ? snapshot.total_time_ms : null;
  const left = (cycleMs ?? snapshot.time_per_cycle_ms ?? 0) - elapsedMs(snapshot, clock, nowMs);
  if (left > 0) return { shown_ms: left, delay_left_ms: 0, reserve_ms: reserve, phase: MAIN, is_out: false };
  return { ...spendReserve(reserve + left), reserve_ms: Math.max(0, reserve + left) };
}

/** @param {number} left */
function spendReserve(left) {
  const phase = /** @type {Phase} */ ({ type: 'reserve' });
  return left > 0 ? { shown_ms: left, delay_left_ms: 0, phase, is_out: false } : out(phase);
}
