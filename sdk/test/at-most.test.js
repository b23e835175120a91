import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atMost } from '../at-most.js';
import { FakeNetwork, settle } from './fakes.js';

function limited(max) {
  const network = new FakeNetwork({ listens: true });
  const transport = atMost(max, network.transport);
  const join = () => {
    const told = [];
    const listener = { opened: () => told.push('opened'), frame: ({ type }) => told.push(type), closed: (code) => told.push(code) };
    return { told, ...transport({}, listener) };
  };
  return { network, join };
}

test('a stream too many does not open, and the others go on', async () => {
  const { network, join } = limited(2);
  const [a, b, c] = [join(), join(), join()];
  await settle();
  network.streams[0].listener.opened();
  network.streams[0].listener.frame({ type: 'HEARTBEAT' });
  a.renew('t2');
  assert.deepEqual([network.streams.length, a.told, b.told, c.told], [2, ['opened', 'HEARTBEAT'], [], [1006]]);
  assert.deepEqual([network.streams[0].renewed, a.send], [['t2'], null]);
});

test('one that was closed, or lost, makes room for another', async () => {
  const { network, join } = limited(1);
  const a = join();
  a.close();
  join();
  network.streams[1].listener.closed(1012, '');
  const c = join();
  await settle();
  assert.deepEqual([network.streams.length, c.told], [3, []]);
});

test('one that is closed before it was refused is told nothing', async () => {
  const { join } = limited(0);
  const a = join();
  a.close();
  await settle();
  assert.deepEqual(a.told, []);
});
