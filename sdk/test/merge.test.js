import assert from 'node:assert/strict';
import { test } from 'node:test';
import { merge } from '../merge.js';
import { isNewer, parsePosition, positionText } from '../position.js';

const held = (epoch, version, more = {}) => ({ epoch, version, participants: [], ...more });

test('a larger position is newer, the epoch first', () => {
  assert.ok(isNewer(held(1, 2), held(1, 1)));
  assert.ok(isNewer(held(2, 1), held(1, 40)));
  assert.ok(!isNewer(held(1, 41), held(2, 1)));
  assert.ok(!isNewer(held(1, 1), held(1, 1)));
  assert.ok(isNewer(held(0, 0), null));
});

test('a position is parsed and formatted', () => {
  assert.deepEqual(parsePosition('1767225600000-7'), { epoch: 1767225600000, version: 7 });
  assert.equal(positionText({ epoch: 3, version: 4 }), '3-4');
  assert.deepEqual([parsePosition(''), parsePosition('7'), parsePosition(undefined)], [null, null, null]);
});

test('an old or known snapshot changes nothing', () => {
  const now = held(5, 5);
  for (const came of [held(5, 5), held(5, 4), held(4, 9)]) assert.equal(merge(now, came), now);
});

test('a restored session (new epoch, same version) is taken', () => {
  assert.equal(merge(held(5, 5), held(6, 5)).epoch, 6);
});

test('frames in any order end with the newest', () => {
  const all = [held(1, 1), held(1, 2), held(1, 3), held(2, 3), held(2, 4)];
  const orders = [[4, 3, 2, 1, 0], [2, 4, 0, 3, 1], [0, 0, 4, 4, 1]];
  for (const order of orders) assert.deepEqual(order.reduce((now, at) => merge(now, all[at]), null), all[4]);
});

test('a partial update replaces the changed clocks only', () => {
  const now = held(1, 1, { status: 'running', participants: [{ participant_id: 'a', x: 1 }, { participant_id: 'b', x: 1 }] });
  const next = merge(now, held(1, 2, { participants: null, changed: [{ participant_id: 'a', x: 2 }] }), true);
  assert.deepEqual(next.participants, [{ participant_id: 'a', x: 2 }, { participant_id: 'b', x: 1 }]);
  assert.deepEqual([next.version, next.status, next.changed], [2, 'running', undefined]);
});

test('a partial update over a gap needs a whole snapshot', () => {
  assert.equal(merge(held(1, 1), held(1, 3), true), null);
  assert.equal(merge(held(1, 1), held(2, 2), true), null);
  assert.equal(merge(null, held(1, 1), true), null);
});
