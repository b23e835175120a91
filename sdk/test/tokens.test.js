import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problem, settle, snapshot, token, world, INSTANT } from './client-fakes.js';
import { endOf } from '../tokens.js';

const far = token(INSTANT + 3_600_000);

test('a callback is asked once for all that begins at once, and its token opens the stream', async () => {
  let asked = 0;
  const { client, network, open } = world({ token: async () => (asked += 1, far), answers: { 'GET /v1/sessions/s': () => snapshot(1) } });
  client.connect('s');
  client.connect('t');
  const read = client.getSession('s');
  await settle();
  assert.deepEqual([asked, network.streams.map(({ address }) => address.token)], [1, [far, far]]);
  open();
  await read;
  client.disconnect();
});

test('a token goes into the header of a plain request', async () => {
  for (const given of ['plain', () => 'plain', async () => 'plain']) {
    const { client, asked } = world({ token: given, answers: { 'GET /v1/sessions/s': () => snapshot(1) } });
    await client.getSession('s');
    assert.equal(asked[0].headers.Authorization, 'Bearer plain');
  }
});

test('a stream is given a new token before the end of the old one', async () => {
  const tokens = [token(INSTANT + 100_000, 'first'), token(INSTANT + 900_000, 'second')];
  const { client, network, timers, setTime, open, frame } = world({ token: () => tokens.shift() });
  client.connect('s');
  await settle();
  open();
  setTime(0);
  const live = (ms) => {
    for (let passed = 0; passed < ms; passed += 1000) {
      timers.pass(1000);
      frame({ type: 'HEARTBEAT', payload: {} });
    }
  };
  live(79_000);
  await settle();
  assert.deepEqual([tokens.length, network.last.renewed], [1, []]);
  live(2000);
  await settle();
  assert.deepEqual(network.last.renewed.map(endOf), [INSTANT + 900_000]);
  assert.equal(network.streams.length, 1);
  client.disconnect();
  assert.equal(timers.waiting, 0);
});

test('a refused token is asked for anew, and the stream comes back', async () => {
  const tokens = ['first', 'second'];
  const { client, network, timers, names, open } = world({ token: () => tokens.shift() });
  client.connect('s');
  await settle();
  network.last.listener.closed(4500, 'expired');
  await settle();
  timers.pass(200);
  await settle();
  open();
  assert.deepEqual([network.last.address.token, client.state('s'), tokens.length], ['second', 'live', 0]);
  assert.ok(!names().includes('error'));
  client.disconnect();
});

test('the same dead token again is an error, then connectionFailed, and never a loop', async () => {
  let asked = 0;
  const { client, network, timers, told } = world({ token: () => (asked += 1, 'dead') });
  client.connect('s');
  client.connect('t');
  await settle();
  for (const stream of [...network.streams]) stream.listener.closed(4500, 'expired');
  await settle();
  timers.pass(600_000);
  await settle();
  assert.deepEqual([asked, network.streams.length, timers.waiting], [2, 2, 0]);
  for (const sessionId of ['s', 't']) {
    const of = told.filter(([, payload]) => payload.sessionId === sessionId);
    assert.deepEqual(of.map(([name]) => name), ['error', 'connectionFailed']);
    assert.equal(of[0][1].error.code, 'no_token');
  }
});

test('every stream is refused at once when a token ends, and that is one refusal', async () => {
  let asked = 0;
  const { client, network, timers, names } = world({ token: () => `made-${(asked += 1)}` });
  for (const id of ['a', 'b', 'c', 'd', 'e']) client.connect(id);
  await settle();
  for (const stream of [...network.streams]) stream.listener.closed(4500, 'expired');
  await settle();
  timers.pass(500);
  await settle();
  assert.deepEqual([asked, network.streams.slice(5).map(({ address }) => address.token)], [2, Array(5).fill('made-2')]);
  assert.ok(!names().includes('error'));
  client.disconnect();
});

test('a stream that is refused later with the same dead token does not ask again', async () => {
  let asked = 0;
  const { client, network, names } = world({ token: () => (asked += 1, 'dead') });
  client.connect('s');
  client.connect('t');
  await settle();
  for (const stream of [...network.streams]) {
    stream.listener.closed(4500, 'expired');
    await settle();
  }
  assert.deepEqual([asked, names().filter((name) => name === 'connectionFailed').length], [2, 2]);
});

test('ever new tokens that are refused come to an end as well', async () => {
  let asked = 0;
  const { client, network, timers, names } = world({ token: () => `made-${(asked += 1)}` });
  client.connect('s');
  for (let times = 0; times < 10; times += 1) {
    await settle();
    if (!network.last.isClosed) network.last.listener.closed(4500, 'refused');
    await settle();
    timers.pass(20_000);
  }
  assert.deepEqual([asked, client.state('s'), names().slice(-2)], [3, 'closed', ['error', 'connectionFailed']]);
});

test('a callback that throws, or gives nothing in time, is an error, then connectionFailed', async () => {
  const callbacks = {
    throws: () => { throw new Error('the app is broken'); },
    rejects: async () => { throw new Error('the app is broken'); },
    hangs: () => new Promise(() => {}),
    'gives no text': () => 5,
  };
  for (const [how, callback] of Object.entries(callbacks)) {
    const { client, network, timers, told } = world({ token: callback, requestTimeoutMs: 3000 });
    client.connect('s');
    await settle();
    timers.pass(3000);
    await settle();
    assert.deepEqual(told.map(([name]) => name), ['error', 'connectionFailed'], how);
    assert.deepEqual([told[0][1].error.code, network.streams.length, timers.waiting], ['no_token', 0, 0], how);
    await assert.rejects(Promise.race([client.getSession('s'), settle().then(() => (timers.pass(3000), settle()))]), { code: 'no_token' }, how);
  }
});

test('after such an end, whoever follows again asks again', async () => {
  const tokens = ['dead', 'dead', 'good'];
  const { client, network, open } = world({ token: () => tokens.shift() });
  client.connect('s');
  await settle();
  network.last.listener.closed(4500, 'expired');
  await settle();
  assert.equal(client.state('s'), 'closed');
  client.connect('s');
  await settle();
  open();
  assert.deepEqual([client.state('s'), network.last.address.token], ['live', 'good']);
  client.disconnect();
});

test('a plain request that is refused is repeated once with a new token, under its key', async () => {
  const tokens = ['old', 'new'];
  const { client, asked } = world({
    token: () => tokens.shift(),
    answers: { 'POST /v1/sessions/s/pause': (_body, { headers }) => (headers.Authorization === 'Bearer old' ? problem(401, { code: 'token_expired' }) : snapshot(4)) },
  });
  assert.equal((await client.pauseSession('s')).version, 4);
  assert.deepEqual(asked.map(({ headers }) => headers.Authorization), ['Bearer old', 'Bearer new']);
  assert.equal(new Set(asked.map(({ headers }) => headers['Idempotency-Key'])).size, 1);
});

test('a fixed token that is refused is an error at once', () => {
  const { client, network, told } = world({ token: 'fixed' });
  client.connect('s');
  assert.equal(network.last.address.token, 'fixed');
  network.last.listener.closed(4500, 'expired');
  assert.deepEqual(told.map(([name, { error }]) => [name, error?.code]), [['error', 'unauthenticated'], ['connectionFailed', undefined]]);
});

test('the end of a token is read, and what is no token has none', () => {
  assert.equal(endOf(far), INSTANT + 3_600_000);
  for (const none of [null, undefined, '', 'a.b.c', 'opaque']) assert.equal(endOf(none), null);
});
