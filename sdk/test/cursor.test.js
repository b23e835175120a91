import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cursor } from '../cursor.js';

const update = (version) => ({ type: 'STATE_UPDATE', position: `9-${version}` });
const expired = (version) => ({ type: 'TIME_EXPIRED', position: `9-${version}` });
const sync = (version) => ({ type: 'STATE_SYNC', position: `9-${version}` });

test('overlapping frames of two streams are delivered once', () => {
  const cursor = new Cursor();
  const [one, two] = [cursor.reader(), cursor.reader()];
  assert.deepEqual([update(1), update(2), update(3)].map(one), [true, true, true]);
  assert.deepEqual([update(2), update(3), update(4)].map(two), [false, false, true]);
  assert.equal(cursor.last, '9-4');
});

test('a write of several frames across two streams is delivered whole', () => {
  const cursor = new Cursor();
  const [one, two] = [cursor.reader(), cursor.reader()];
  assert.deepEqual([update(1), update(2), expired(2)].map(one), [true, true, true]);
  assert.deepEqual([update(2), expired(2), expired(2), update(3)].map(two), [false, false, true, true]);
});

test('a whole state covers every frame up to it', () => {
  const cursor = new Cursor();
  const reader = cursor.reader();
  assert.deepEqual([sync(5), update(5), expired(5), update(6)].map(reader), [true, false, false, true]);
  assert.ok(reader(sync(3)), 'what is older is told, and changes nothing');
  assert.equal(cursor.last, '9-6');
});

test('a new epoch is newer than any version of the old one', () => {
  const cursor = new Cursor();
  const reader = cursor.reader();
  reader(update(40));
  assert.ok(reader({ type: 'STATE_UPDATE', position: '10-1' }));
  assert.equal(reader(update(41)), false);
});

test('frames that are no writes are always delivered', () => {
  const cursor = new Cursor();
  const reader = cursor.reader();
  reader(update(4));
  for (const type of ['HEARTBEAT', 'ACK', 'PONG']) assert.ok(reader({ type, position: '9-1' }));
  assert.ok(reader({ type: 'TIME_WARNING' }));
  assert.equal(cursor.last, '9-4');
});
