import assert from 'node:assert/strict';
import { test } from 'node:test';
import { snapshot, sync, update, world } from './client-fakes.js';

test('connected with the first frame, then each update', () => {
  const { client, told, open, frame } = world();
  client.connect('s');
  open();
  frame(update(4));
  frame(update(4));
  assert.deepEqual(told, [
    ['connected', { sessionId: 's' }],
    ['update', { sessionId: 's', session: snapshot(3) }],
    ['update', { sessionId: 's', session: snapshot(4) }],
  ]);
  client.disconnect();
});

test('a loss is told with its code, each try with its number and its wait, and the return', () => {
  const { client, network, timers, told, open } = world();
  client.connect('s');
  open();
  told.length = 0;
  network.last.listener.closed(1012, 'restart');
  assert.equal(client.state('s'), 'away');
  timers.pass(200);
  network.last.listener.closed(1006, '');
  timers.pass(400);
  open();
  assert.deepEqual(told, [
    ['disconnected', { sessionId: 's', code: 1012, reason: 'restart' }],
    ['reconnecting', { sessionId: 's', attempt: 1, delay: 187.5 }],
    ['reconnecting', { sessionId: 's', attempt: 2, delay: 375 }],
    ['connected', { sessionId: 's' }],
  ]);
  client.disconnect();
});

test('silence is stale, and the next frame fresh', () => {
  const { client, timers, names, open, frame } = world();
  client.connect('s');
  open();
  timers.pass(6600);
  frame({ type: 'HEARTBEAT', payload: {} });
  assert.deepEqual(names(), ['connected', 'update', 'stale', 'fresh']);
  client.disconnect();
});

test('ten failed tries in a row are told once, and it goes on trying', () => {
  const { client, network, timers, told } = world();
  client.connect('s');
  for (let tries = 0; tries < 12; tries += 1) {
    network.last.listener.closed(1006, '');
    timers.pass(1500);
  }
  const failed = told.filter(([name]) => name === 'connectionFailed');
  assert.deepEqual([failed, network.streams.length], [[['connectionFailed', { sessionId: 's', attempts: 10 }]], 13]);
  client.disconnect();
});

test('how many tries, and whether it goes on, are options', () => {
  const { client, network, timers, names } = world({ maxAttempts: 3, stopAfterMaxAttempts: true });
  client.connect('s');
  for (let tries = 0; tries < 3; tries += 1) {
    network.last.listener.closed(1006, '');
    timers.pass(1500);
  }
  assert.deepEqual(names(), ['reconnecting', 'reconnecting', 'connectionFailed']);
  assert.deepEqual([client.state('s'), network.streams.length, timers.waiting], ['closed', 3, 0]);
});

test('the first and the longest wait are options', () => {
  const { client, network, timers, told } = world({ firstRetryMs: 2000, maxRetryMs: 4000 });
  client.connect('s');
  for (let tries = 0; tries < 30; tries += 1) {
    network.last.listener.closed(1006, '');
    timers.pass(4000);
  }
  const waits = told.filter(([name]) => name === 'reconnecting').map(([, { delay }]) => delay);
  assert.deepEqual([waits[0], waits.at(-1), Math.max(...waits)], [1500, 3000, 3000]);
  client.disconnect();
});

test('an end that no retry helps is an error, and then connectionFailed', () => {
  const codes = { 4500: 'unauthenticated', 4501: 'forbidden', 4502: 'session_not_found', 4504: 'malformed' };
  for (const [code, problem] of Object.entries(codes)) {
    const { client, network, timers, told } = world();
    client.connect('s');
    network.last.listener.closed(Number(code), 'why');
    assert.deepEqual(told.map(([name]) => name), ['error', 'connectionFailed']);
    assert.deepEqual([told[0][1].sessionId, told[0][1].error.code, timers.waiting], ['s', problem, 0]);
  }
});

test('a deleted session is disconnected, which is no error', () => {
  const { client, told, open, frame } = world();
  client.connect('s');
  open();
  told.length = 0;
  frame({ type: 'SESSION_DELETED', session_id: 's' });
  assert.deepEqual(told, [['disconnected', { sessionId: 's', code: 4503, reason: 'session deleted' }]]);
});

test('leaving is told as well, and nothing after it', () => {
  const { client, told, network, open } = world();
  client.connect('s');
  open();
  const { listener } = network.last;
  client.disconnect('s');
  told.length = 0;
  listener.frame(sync(9));
  listener.closed(1006, '');
  assert.deepEqual(told, []);
});

test('the device’s clock is told as wrong once, and again after it was right', () => {
  const { client, told } = world({ warnSkewMs: 1000 });
  const exchange = (wrongByMs) => {
    const origin = client.clock.monotonicMs();
    const receive = Date.now() + wrongByMs;
    client.clock.take({ origin_ms: origin, receive_ms: receive, transmit_ms: receive, destination_ms: origin });
  };
  for (const wrongByMs of [5000, 5000, 0, 5000]) exchange(wrongByMs);
  const skews = told.filter(([name]) => name === 'clockSkewDetected').map(([, { offset }]) => Math.round(offset / 1000));
  assert.deepEqual(skews, [5, 5]);
});
