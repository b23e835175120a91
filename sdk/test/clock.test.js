import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockIds, read, shownMs, startsInMs, statusAt } from '../clock.js';
import { textOf } from '../instant.js';

const T0 = Date.UTC(2026, 0, 1);
const S = 1000;
const at = (ms) => T0 + ms;

/** A running two-player session whose clock `a` was anchored at T0; what differs is laid over it. */
function session({ a = {}, b = {}, ...over } = {}) {
  const seat = (id, index) => ({ participant_id: id, participant_index: index, total_time_ms: 60 * S, phase: { type: 'main' } });
  return {
    session_id: 's', epoch: 1, version: 1, sync_mode: 'per_participant', status: 'running', concurrency: 'exclusive',
    active_participant_id: 'a', cycle_started_at: textOf(T0), time_control: {},
    participants: [{ ...seat('a', 0), ...a }, { ...seat('b', 1), ...b }], groups: [], edges: [],
    ...over,
  };
}

const overtime = (control, total = 60 * S, phase) =>
  session({ time_control: { overtime: control }, a: { total_time_ms: total, ...(phase && { phase }) } });

test('the active clock runs down from its anchor, the other stands still', () => {
  const held = session();
  assert.equal(shownMs(held, 'a', at(12_345)), 47_655);
  assert.equal(shownMs(held, 'b', at(12_345)), 60 * S);
  assert.equal(shownMs(held, 'session', at(12_345)), 47_655);
  assert.deepEqual([read(held, 'a', at(1)).is_running, read(held, 'b', at(1)).is_running], [true, false]);
});

test('an anchor in the future costs nothing', () => {
  assert.equal(shownMs(session(), 'a', at(-20)), 60 * S);
});

test('a clock is out at exactly its deadline', () => {
  assert.equal(read(session(), 'a', at(60 * S - 1)).is_out, false);
  assert.deepEqual([read(session(), 'a', at(60 * S)).is_out, shownMs(session(), 'a', at(60 * S))], [true, 0]);
  assert.equal(shownMs(session(), 'a', at(90 * S)), 0);
});

test('no clock runs while pending, paused or ended', () => {
  for (const status of ['pending', 'paused', 'expired', 'completed', 'cancelled']) {
    const held = session({ status, cycle_started_at: null });
    assert.equal(shownMs(held, 'a', at(30 * S)), 60 * S, status);
  }
});

test('an expired clock shows zero, whatever its bank', () => {
  assert.equal(shownMs(session({ b: { has_expired: true, total_time_ms: 5 } }), 'b', at(0)), 0);
});

test('increment: the bank includes what the server credited (3+2 after an instant first move: 3:02)', () => {
  const held = session({ increment_ms: 2000, a: { total_time_ms: 182 * S } });
  assert.equal(shownMs(held, 'a', at(0)), 182 * S);
});

test('simple delay waits first: 60 delay 5, 30 s -> 35 left; then 36 s -> 4 left and alive', () => {
  const first = session({ time_control: { delay: { type: 'simple', delay_ms: 5000 } }, a: { delay_left_ms: 5000 } });
  assert.deepEqual([read(first, 'a', at(3 * S)).shown_ms, read(first, 'a', at(3 * S)).delay_left_ms], [60 * S, 2000]);
  assert.equal(shownMs(first, 'a', at(30 * S)), 35 * S);
  const then = session({ time_control: first.time_control, a: { delay_left_ms: 5000, total_time_ms: 35 * S } });
  assert.equal(shownMs(then, 'a', at(36 * S)), 4 * S);
  assert.equal(read(then, 'a', at(40 * S)).is_out, true);
});

test('a pause keeps the rest of a delay', () => {
  const held = session({ time_control: { delay: { type: 'simple', delay_ms: 5000 } }, a: { delay_left_ms: 1500 } });
  assert.equal(shownMs(held, 'a', at(2 * S)), 59_500);
});

test('bronstein runs down at once, and is out although the delay would have covered it', () => {
  const held = session({ time_control: { delay: { type: 'bronstein', delay_ms: 5000 } }, a: { delay_left_ms: 0, total_time_ms: 35 * S } });
  assert.equal(shownMs(held, 'a', at(34_990)), 10);
  assert.equal(read(held, 'a', at(35 * S)).is_out, true);
});

test('byo-yomi 15 + 1x5: at 10 s 5 main; at 19 s 1 left in period 1; at 20 s out', () => {
  const held = overtime({ type: 'byoyomi', periods: 1, period_ms: 5000 }, 15 * S);
  assert.deepEqual([shownMs(held, 'a', at(10 * S)), read(held, 'a', at(10 * S)).phase.type], [5 * S, 'main']);
  const late = read(held, 'a', at(19 * S));
  assert.deepEqual([late.shown_ms, late.phase], [1 * S, { type: 'byoyomi', period: 1, periods: 1 }]);
  assert.equal(read(held, 'a', at(20 * S)).is_out, true);
});

test('byo-yomi advances through its periods, each full at its exact start', () => {
  const held = overtime({ type: 'byoyomi', periods: 3, period_ms: 10 * S });
  const seen = (ms) => [shownMs(held, 'a', at(ms)), read(held, 'a', at(ms)).phase.period];
  assert.deepEqual(seen(60 * S), [10 * S, 1]);
  assert.deepEqual(seen(69_999), [1, 1]);
  assert.deepEqual(seen(70 * S), [10 * S, 2]);
  assert.deepEqual(seen(89 * S), [1 * S, 3]);
  assert.equal(read(held, 'a', at(90 * S)).is_out, true);
});

test('byo-yomi from within a period: its rest first, then the later periods', () => {
  const held = overtime({ type: 'byoyomi', periods: 3, period_ms: 10 * S }, 4 * S, { type: 'byoyomi', period: 2, periods: 3 });
  assert.deepEqual([shownMs(held, 'a', at(3 * S)), read(held, 'a', at(3 * S)).phase.period], [1 * S, 2]);
  assert.deepEqual([shownMs(held, 'a', at(5 * S)), read(held, 'a', at(5 * S)).phase.period], [9 * S, 3]);
  assert.equal(read(held, 'a', at(14 * S)).is_out, true);
});

test('zero main time starts in overtime', () => {
  const held = overtime({ type: 'byoyomi', periods: 2, period_ms: 10 * S }, 0);
  assert.deepEqual([shownMs(held, 'a', at(0)), read(held, 'a', at(0)).phase.period], [10 * S, 1]);
});

test('canadian: a block when main is out, out when the block is', () => {
  const control = { type: 'canadian', cycles: 5, period_ms: 30 * S };
  const late = read(overtime(control), 'a', at(70 * S));
  assert.deepEqual([late.shown_ms, late.phase], [20 * S, { type: 'canadian', cycles_left: 5, cycles: 5 }]);
  const inBlock = overtime(control, 12 * S, { type: 'canadian', cycles_left: 2, cycles: 5 });
  assert.equal(shownMs(inBlock, 'a', at(5 * S)), 7 * S);
  assert.equal(read(inBlock, 'a', at(12 * S)).is_out, true);
});

test('a participant’s own control stands in place of the session’s', () => {
  const held = session({ time_control: { free_cycles: 1 }, a: { time_control: { overtime: { type: 'byoyomi', periods: 1, period_ms: 5000 } } } });
  assert.equal(shownMs(held, 'a', at(61 * S)), 4 * S);
});

test('free cycles cost nothing', () => {
  const held = session({ time_control: { free_cycles: 2 }, a: { cycle_count: 1 } });
  assert.equal(shownMs(held, 'a', at(90 * S)), 60 * S);
  assert.equal(shownMs({ ...held, participants: [{ ...held.participants[0], cycle_count: 2 }, held.participants[1]] }, 'a', at(10 * S)), 50 * S);
});

test('free cycles of a group are those of its active participant', () => {
  const groups = [{ group_id: 'red', total_time_ms: 60 * S, cycle_count: 9 }];
  const more = { sync_mode: 'per_group', active_group_id: 'red', groups, time_control: { free_cycles: 1 } };
  assert.equal(shownMs(session({ ...more, a: { group_id: 'red', cycle_count: 0 } }), 'red', at(10 * S)), 60 * S);
  assert.equal(shownMs(session({ ...more, a: { group_id: 'red', cycle_count: 1 } }), 'red', at(10 * S)), 50 * S);
});

test('stages: the phase is passed on, the bank is read as main time', () => {
  const held = session({ a: { phase: { type: 'main', stage: 2 }, total_time_ms: 70 * 60 * S } });
  assert.deepEqual([shownMs(held, 'a', at(0)), read(held, 'a', at(0)).phase.stage], [70 * 60 * S, 2]);
});

test('hourglass: 40/80 after A used 20 of 60/60, and the sum never changes', () => {
  const held = session({ time_control: { hourglass: true } });
  assert.deepEqual([shownMs(held, 'a', at(20 * S)), shownMs(held, 'b', at(20 * S))], [40 * S, 80 * S]);
  for (const ms of [1, 59_999, 60_000, 200_000]) {
    assert.equal(shownMs(held, 'a', at(ms)) + shownMs(held, 'b', at(ms)), 120 * S);
  }
});

test('per cycle: the cycle, then the reserve', () => {
  const held = session({ sync_mode: 'per_cycle', time_per_cycle_ms: 30 * S, total_time_ms: 30 * S });
  assert.deepEqual([shownMs(held, 'a', at(10 * S)), read(held, 'a', at(10 * S)).reserve_ms], [20 * S, 60 * S]);
  const late = read(held, 'a', at(40 * S));
  assert.deepEqual([late.shown_ms, late.phase.type, late.reserve_ms], [50 * S, 'reserve', 50 * S]);
  assert.equal(read(held, 'a', at(90 * S)).is_out, true);
  assert.equal(shownMs(held, 'b', at(10 * S)), 30 * S);
});

test('per cycle after a pause: used time of the cycle stays used', () => {
  const none = { total_time_ms: null };
  const held = session({ sync_mode: 'per_cycle', time_per_cycle_ms: 30 * S, total_time_ms: 12 * S, a: none, b: none });
  assert.equal(shownMs(held, 'a', at(5 * S)), 7 * S);
  assert.equal(read(held, 'a', at(12 * S)).is_out, true);
});

test('per cycle in the reserve: anchored at the end of the cycle’s own time', () => {
  const a = { phase: { type: 'reserve' }, total_time_ms: 20 * S };
  const held = session({ sync_mode: 'per_cycle', time_per_cycle_ms: 30 * S, total_time_ms: 0, a });
  assert.deepEqual([shownMs(held, 'a', at(5 * S)), read(held, 'a', at(20 * S)).is_out], [15 * S, true]);
});

test('per group: the active group runs, and its participants show it', () => {
  const held = session({
    sync_mode: 'per_group', active_group_id: 'red', a: { group_id: 'red' }, b: { group_id: 'blue' },
    groups: [{ group_id: 'red', total_time_ms: 600 * S }, { group_id: 'blue', total_time_ms: 500 * S }],
  });
  assert.deepEqual(clockIds(held), ['red', 'blue']);
  assert.deepEqual(['red', 'blue', 'a', 'b'].map((id) => shownMs(held, id, at(60 * S))), [540, 500, 540, 500].map((s) => s * S));
});

test('simultaneous: each by its own status and anchor', () => {
  const held = session({
    concurrency: 'simultaneous', active_participant_id: null,
    a: { status: 'running', cycle_started_at: textOf(at(10 * S)) },
    b: { status: 'paused', cycle_started_at: null },
  });
  assert.deepEqual([shownMs(held, 'a', at(30 * S)), shownMs(held, 'b', at(30 * S))], [40 * S, 60 * S]);
  assert.deepEqual([read(held, 'a', at(30 * S)).is_running, read(held, 'b', at(30 * S)).is_running], [true, false]);
});

test('global: one clock, for any active participant', () => {
  const held = session({ sync_mode: 'global', total_time_ms: 25 * S, participants: [], active_participant_id: null });
  assert.deepEqual(clockIds(held), ['session']);
  assert.deepEqual([shownMs(held, 'session', at(5 * S)), read(held, 'session', at(25 * S)).is_out], [20 * S, true]);
});

test('count up: from the time used before, up to the limit', () => {
  const held = session({ sync_mode: 'count_up', time_used_ms: 4 * S, max_time_ms: 10 * S, participants: [] });
  assert.equal(shownMs(held, 'session', at(5 * S)), 9 * S);
  assert.deepEqual([shownMs(held, 'session', at(7 * S)), read(held, 'session', at(7 * S)).is_out], [10 * S, true]);
});

test('a scheduled start runs from exactly its instant, before or after its frame', () => {
  const held = session({ status: 'pending', cycle_started_at: null, starts_at: textOf(at(5 * S)), active_participant_id: null });
  assert.deepEqual([startsInMs(held, at(2 * S)), statusAt(held, at(2 * S))], [3 * S, 'pending']);
  assert.equal(shownMs(held, 'a', at(4999)), 60 * S);
  assert.deepEqual([startsInMs(held, at(5 * S)), statusAt(held, at(5 * S))], [null, 'running']);
  assert.deepEqual([shownMs(held, 'a', at(6 * S)), shownMs(held, 'b', at(6 * S))], [59 * S, 60 * S]);
});

test('clocks are in turn order, not in list order', () => {
  assert.deepEqual(clockIds(session({ a: { participant_index: 1 }, b: { participant_index: 0 } })), ['b', 'a']);
});

test('an overrun is shown before and after the frame of its end', () => {
  const rules = { action_on_timeout: { type: 'continue' } };
  const untold = read(session(rules), 'a', at(63 * S));
  assert.deepEqual([untold.shown_ms, untold.is_out, untold.overrun_ms], [0, true, 3 * S]);
  const a = { has_expired: true, total_time_ms: 0, overrun_ms: 2 * S };
  assert.equal(read(session({ ...rules, a }), 'a', at(5 * S)).overrun_ms, 7 * S);
  assert.equal(read(session(rules), 'b', at(63 * S)).overrun_ms, 0);
  assert.equal(read(session(), 'a', at(63 * S)).overrun_ms, 0);
});

test('hourglass: an expired participant may gain time, and stays out', () => {
  const held = session({ time_control: { hourglass: true }, a: { total_time_ms: 110 * S }, b: { total_time_ms: 10 * S, has_expired: true } });
  assert.deepEqual([shownMs(held, 'b', at(5 * S)), read(held, 'b', at(5 * S)).is_out], [15 * S, true]);
});
