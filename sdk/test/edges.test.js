import assert from 'node:assert/strict';
import { test } from 'node:test';
import { edgesBetween } from '../edges.js';
import { clockText, spokenText } from '../format.js';
import { textOf } from '../instant.js';

const edge = (ms, type = 'warning', id = 'a') => ({ at: textOf(ms), type, participant_id: id });

test('passed edges are in order, without the first bound and with the last', () => {
  const session = { participants: [], edges: [edge(3000, 'expiry'), edge(1000), edge(2000)] };
  assert.deepEqual(edgesBetween(session, 1000, 3000).map((one) => one.at), [textOf(2000), textOf(3000)]);
});

test('an edge of the session and of its clock is one edge', () => {
  const session = { participants: [{ edges: [edge(1000), edge(2000)] }], edges: [edge(1000)] };
  assert.equal(edgesBetween(session, 0, 5000).length, 2);
});

test('clock text rounds down, and omits the fraction above an hour', () => {
  assert.deepEqual(clockText(272_790), { text: '4:32', fraction: '.7' });
  assert.deepEqual(clockText(59_999, 2), { text: '0:59', fraction: '.99' });
  assert.deepEqual(clockText(3_723_000), { text: '1:02:03', fraction: '' });
  assert.deepEqual(clockText(-5), { text: '0:00', fraction: '.0' });
});

test('spoken text names hours, minutes and seconds', () => {
  assert.equal(spokenText(3_661_000), '1 hour 1 minute 1 second');
  assert.equal(spokenText(120_000), '2 minutes');
  assert.equal(spokenText(400), 'no time');
});
