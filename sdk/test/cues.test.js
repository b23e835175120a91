import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cues } from '../cues.js';
import { at, snapshot, update, world, INSTANT } from './client-fakes.js';
import { FakeTimers } from './fakes.js';

const WARNING = { at: at(50_000), type: 'warning', participant_id: 'a', remaining_ms: 10_000 };
const PERIOD = { at: at(55_000), type: 'overtime', participant_id: 'a', remaining_ms: 5000 };
const EXPIRY = { at: at(60_000), type: 'expiry', participant_id: 'a', remaining_ms: 0 };
const edges = [WARNING, PERIOD, EXPIRY];

/** Cues by a clock that goes with the timers. */
function cueing({ hasSample = true, ms = 0 } = {}) {
  const [timers, given] = [new FakeTimers(), []];
  const sync = { hasSample, now: () => INSTANT + ms + timers.now };
  const cues = new Cues({ timers, sync, give: (edge) => given.push(`${edge.type} ${(Date.parse(edge.at) - INSTANT) / 1000}`) });
  return { cues, timers, sync, given };
}

test('each edge is given at its instant, once, without a message', () => {
  const { cues, timers, given } = cueing();
  cues.update(snapshot(3, { edges }));
  timers.pass(49_999);
  assert.deepEqual(given, []);
  timers.pass(1);
  assert.deepEqual(given, ['warning 50']);
  timers.pass(20_000);
  assert.deepEqual(given, ['warning 50', 'overtime 55', 'expiry 60']);
  assert.equal(timers.waiting, 0);
});

test('a message before or after the own clock gives nothing twice', () => {
  for (const first of ['message', 'clock']) {
    const { cues, timers, given } = cueing();
    cues.update(snapshot(3, { edges }));
    const message = () => {
      cues.warned({ at: WARNING.at, participant_id: 'a', remaining_ms: 10_000 });
      cues.told({ expired_at: EXPIRY.at, participant_id: 'a', action: 'expire' });
    };
    if (first === 'message') message();
    timers.pass(70_000);
    message();
    assert.deepEqual([...given].sort(), ['expiry 60', 'overtime 55', 'warning 50'], first);
  }
});

test('of a group’s clock the message also names the participant, and it is still one', () => {
  const { cues, timers, given } = cueing();
  const expiry = { at: at(60_000), type: 'expiry', group_id: 'red', remaining_ms: 0 };
  cues.update(snapshot(3, { sync_mode: 'per_group', edges: [expiry] }));
  timers.pass(60_000);
  cues.told({ expired_at: expiry.at, participant_id: 'a', group_id: 'red', action: 'expire' });
  assert.deepEqual(given, ['expiry 60']);
});

test('none while cluster time is unknown', () => {
  const { cues, timers, sync, given } = cueing({ hasSample: false });
  cues.update(snapshot(3, { edges }));
  timers.pass(52_000);
  assert.deepEqual([given, timers.waiting], [[], 0]);
  sync.hasSample = true;
  cues.plan();
  timers.pass(20_000);
  assert.deepEqual(given, ['overtime 55', 'expiry 60'], 'and what was passed before is not given later');
});

test('what was stopped before its instant is not given', () => {
  const { cues, timers, given } = cueing();
  cues.update(snapshot(3, { edges }));
  timers.pass(49_000);
  cues.update(snapshot(4, { status: 'paused', updated_at: at(49_000) }));
  timers.pass(60_000);
  assert.deepEqual(given, []);
});

test('nor where that is heard only after its instant', () => {
  const { cues, timers, given } = cueing();
  cues.update(snapshot(3, { edges }));
  timers.now = 50_300;
  cues.update(snapshot(4, { status: 'paused', updated_at: at(49_900) }));
  timers.pass(60_000);
  assert.deepEqual(given, []);
});

test('what was passed before the first snapshot is not given', () => {
  const { cues, timers, given } = cueing({ ms: 56_000 });
  cues.update(snapshot(3, { edges }));
  timers.pass(4000);
  assert.deepEqual(given, ['expiry 60']);
});

test('what happened just before a change is given with it', () => {
  const { cues, timers, given } = cueing();
  cues.update(snapshot(3, { edges }));
  timers.now = 55_200;
  cues.update(snapshot(4, { status: 'paused', updated_at: at(55_100) }));
  assert.deepEqual(given, ['overtime 55']);
});

test('with a lag policy the expiry waits as long as the server does', () => {
  const { cues, timers, given } = cueing();
  cues.update(snapshot(3, { edges: [EXPIRY], expires_by: at(60_900) }));
  timers.pass(60_899);
  assert.deepEqual(given, []);
  timers.pass(1);
  assert.deepEqual(given, ['expiry 60']);
});

test('a page that slept gives no old cue, but what its newest state tells', () => {
  const { cues, timers, given } = cueing();
  cues.update(snapshot(3, { edges }));
  timers.now = 90_000;
  timers.pass(0);
  assert.deepEqual(given, []);
  cues.update(snapshot(4, { status: 'expired', updated_at: at(60_001) }));
  cues.told({ expired_at: EXPIRY.at, participant_id: 'a', action: 'expire' });
  assert.deepEqual(given, ['expiry 60']);
});

test('the next cue moves with the session and with the clock', () => {
  const { cues, timers, sync, given } = cueing();
  cues.update(snapshot(3, { edges: [EXPIRY] }));
  cues.update(snapshot(4, { edges: [{ ...EXPIRY, at: at(30_000) }] }));
  sync.now = () => INSTANT + timers.now + 10_000;
  cues.plan();
  timers.pass(20_000);
  assert.deepEqual(given, ['expiry 30']);
});

test('a stopped one leaves no timer', () => {
  const { cues, timers } = cueing();
  cues.update(snapshot(3, { edges }));
  cues.stop();
  assert.equal(timers.waiting, 0);
});

test('the client waits for cues once cluster time is known', () => {
  const { client, timers, open, setTime } = world();
  client.connect('s');
  open(update(3, { edges }));
  const before = timers.waiting;
  setTime(0);
  assert.equal(timers.waiting, before + 1);
  client.disconnect();
  assert.equal(timers.waiting, 0);
});

test('the client tells warnings, expiries and every cue, once each', () => {
  const { client, timers, told, open, frame, setTime } = world();
  client.connect('s');
  open(update(3, { edges }));
  setTime(49_990);
  // The client's clock is real, so the message is what comes first here.
  frame({ type: 'TIME_WARNING', session_id: 's', payload: { at: WARNING.at, participant_id: 'a', remaining_ms: 10_000 } });
  frame({ type: 'TIME_WARNING', session_id: 's', payload: { at: WARNING.at, participant_id: 'a', remaining_ms: 10_000 } });
  frame(update(4, { status: 'expired', updated_at: EXPIRY.at }));
  frame({ type: 'TIME_EXPIRED', session_id: 's', position: '9-4', payload: { participant_id: 'a', expired_at: EXPIRY.at, action: 'pause' } });
  const cues = told.filter(([name]) => name.startsWith('time') && name !== 'timeSynced');
  assert.deepEqual(cues[0], ['timeWarning', { sessionId: 's', at: WARNING.at, participant_id: 'a', remaining_ms: 10_000 }]);
  assert.equal(cues.filter(([name]) => name === 'timeWarning').length, 1);
  client.disconnect();
  assert.equal(timers.waiting, 0);
});
