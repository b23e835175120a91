import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedExchange } from '../shared-exchange.js';
import { ClockSync } from '../sync.js';
import { FakeTimers } from './fakes.js';

function sharing() {
  const timers = new FakeTimers();
  const sync = new ClockSync({ monotonicMs: () => timers.now });
  const shared = new SharedExchange({ sync, timers });
  const join = () => {
    const [member, sent] = [shared.member(), []];
    return { ...member, sent, begin: () => member.start((frame) => sent.push(frame)) };
  };
  return { timers, sync, join };
}

test('one of many pings, and its answers are for all', () => {
  const { timers, sync, join } = sharing();
  const [a, b] = [join(), join()];
  a.begin();
  b.begin();
  timers.pass(20_000);
  assert.ok(a.sent.length > 8 && b.sent.length === 0, `${a.sent.length} and ${b.sent.length}`);
  a.pong({ timestamp: a.sent.at(-1).timestamp, received_at_ms: 5, sent_at_ms: 5 });
  assert.ok(sync.hasSample);
});

test('when that one goes the next goes on, and the last leaves no timer', () => {
  const { timers, join } = sharing();
  const [a, b] = [join(), join()];
  a.begin();
  b.begin();
  a.stop();
  assert.equal(b.sent.length, 1);
  b.stop();
  b.stop();
  assert.equal(timers.waiting, 0);
});

test('one that opens again goes on over its new stream', () => {
  const { join } = sharing();
  const a = join();
  a.begin();
  a.begin();
  assert.equal(a.sent.length, 2);
  a.stop();
});
