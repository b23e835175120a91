import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClockSync, sampleOf } from '../sync.js';

/** A device whose monotonic clock the test moves, and a server that is `ahead` of it. */
function world(ahead = 5000) {
  const w = { ms: 1_000_000, ahead };
  w.sync = new ClockSync({ monotonicMs: () => w.ms });
  w.exchange = (there, back, server = 0) => {
    const origin_ms = w.ms;
    const receive_ms = origin_ms + there + w.ahead;
    w.ms += there + server + back;
    w.sync.take({ origin_ms, receive_ms, transmit_ms: receive_ms + server, destination_ms: w.ms });
  };
  w.error = () => w.sync.now() - (w.ms + w.ahead);
  return w;
}

test('offset and round trip exclude the server’s own time', () => {
  const sample = sampleOf({ origin_ms: 100, receive_ms: 1110, transmit_ms: 1130, destination_ms: 140 });
  assert.deepEqual([sample.offset, sample.roundTrip], [1000, 20]);
});

test('the first exchange steps at once, wrong by at most half the round trip', () => {
  const w = world();
  w.exchange(30, 10);
  assert.equal(w.error(), 10);
  assert.equal(w.sync.roundTrip, 40);
  assert.ok(!w.sync.isSettled);
});

test('the best round trip of the window counts', () => {
  const w = world();
  w.exchange(40, 2);
  w.exchange(1, 1);
  w.exchange(2, 60);
  assert.ok(Math.abs(w.error()) < 0.01);
  assert.equal(w.sync.roundTrip, 2);
});

test('once settled it slews to its target, without a jump or a step back', () => {
  const w = world();
  for (let i = 0; i < 4; i += 1) w.exchange(40, 0);
  assert.equal(Math.round(w.error()), 20);
  w.exchange(1, 1);
  assert.ok(w.error() > 15, 'no step');
  let last = w.sync.now();
  for (let i = 0; i < 60; i += 1) {
    w.ms += 16;
    const now = w.sync.now();
    assert.ok(now > last && now - last <= 16.9);
    last = now;
  }
  assert.ok(Math.abs(w.error()) < 0.1);
});

test('a clock that was moved far is stepped, even by worse round trips', () => {
  const w = world();
  for (let i = 0; i < 5; i += 1) w.exchange(1, 1);
  w.ahead += 60_000;
  w.exchange(20, 20);
  assert.ok(Math.abs(w.error()) <= 20);
});

test('an old sample does not win for ever', () => {
  const w = world();
  for (let i = 0; i < 5; i += 1) w.exchange(1, 1);
  for (let i = 0; i < 20; i += 1) {
    w.ms += 60_000;
    w.ahead += 60_000 * 30e-6;
    w.exchange(3, 3);
  }
  w.ms += 1000;
  assert.ok(Math.abs(w.error()) < 10, String(w.error()));
});

test('impossible stamps are ignored', () => {
  const w = world();
  w.sync.take({ origin_ms: 10, receive_ms: 0, transmit_ms: 100, destination_ms: 20 });
  assert.equal(w.sync.hasSample, false);
});

test('the error is within half the round trip for any asymmetry', () => {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let run = 0; run < 200; run += 1) {
    const w = world(random() * 1e6);
    for (let i = 0; i < 3; i += 1) w.exchange(random() * 50, random() * 50, random() * 5);
    assert.ok(Math.abs(w.error()) <= w.sync.roundTrip / 2 + 0.01);
  }
});

test('a reading never goes back, also while the first exchanges correct it', () => {
  const w = world();
  w.exchange(40, 0);
  const first = w.sync.now();
  w.exchange(0, 1);
  assert.ok(w.sync.now() >= first, 'the better exchange is 20 ms behind');
  w.ms += 30;
  assert.ok(Math.abs(w.error()) < 1);
});

test('before the first exchange it tells the device’s time, from which it may go back', () => {
  const w = world(-60_000);
  assert.equal(w.sync.now(), w.ms);
  w.exchange(1, 1);
  assert.ok(Math.abs(w.error()) <= 1);
});

test('after a sleep a small error is corrected at once instead of slewed', () => {
  const w = world();
  for (let i = 0; i < 5; i += 1) w.exchange(1, 1);
  w.ahead += 600;
  w.sync.unsettle();
  w.exchange(1, 1);
  assert.ok(Math.abs(w.error()) <= 1);
});

test('the uncertainty holds the error, and grows with the age of the best exchange', () => {
  const w = world();
  assert.equal(w.sync.uncertainty, null);
  w.exchange(30, 10);
  assert.ok(w.sync.uncertainty >= Math.abs(w.error()) && w.sync.uncertainty < 21);
  const before = w.sync.uncertainty;
  w.ms += 60_000;
  assert.ok(w.sync.uncertainty > before + 2);
  const own = new ClockSync({ monotonicMs: () => 0 });
  own.take({ origin_ms: 0, receive_ms: 0, transmit_ms: 0, destination_ms: 0, uncertainty_ms: 3 });
  assert.equal(own.uncertainty, 3);
});
