import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyncKairosClient } from '../client.js';
import { SyncKairosError } from '../problem.js';
import { problem, settle, snapshot, sync, update, world } from './client-fakes.js';

test('a session is created, read and deleted by plain requests', async () => {
  const { client, asked } = world({ answers: {
    'POST /v1/sessions': () => snapshot(1),
    'GET /v1/sessions/s': () => snapshot(2),
    'DELETE /v1/sessions/s': () => null,
  } });
  const config = { sync_mode: 'global', total_time_ms: 5000 };
  assert.equal((await client.createSession(config)).version, 1);
  assert.equal((await client.getSession('s')).version, 2);
  assert.equal(await client.deleteSession('s'), undefined);
  assert.deepEqual(asked.map(({ request, body }) => [request, body]), [
    ['POST /v1/sessions', config], ['GET /v1/sessions/s', null], ['DELETE /v1/sessions/s', {}],
  ]);
  for (const { request, headers } of [asked[0], asked[2]]) assert.match(headers['Idempotency-Key'], /^[0-9a-f]{32}$/, request);
});

test('each command has a method, and goes by a plain request while nobody follows', async () => {
  const calls = {
    start: (client) => client.startSession('s', { participant_id: 'a' }),
    switch: (client) => client.switchCycle('s'),
    pause: (client) => client.pauseSession('s', { reason: 'tea' }),
    resume: (client) => client.resumeSession('s'),
    complete: (client) => client.completeSession('s'),
    cancel: (client) => client.cancelSession('s'),
    adjust: (client) => client.adjust('s', { participant_id: 'a', add_ms: -500 }),
    extend: (client) => client.extend('s'),
    reset: (client) => client.command('s', 'reset'),
  };
  for (const [name, call] of Object.entries(calls)) {
    const { client, asked } = world({ answers: { [`POST /v1/sessions/s/${name}`]: () => ({ ...snapshot(4), outcome: { type: name } }) } });
    assert.equal((await call(client)).outcome.type, name);
    assert.equal(asked.length, 1);
  }
});

test('a followed session takes commands over its stream, and a switch names who hands on', async () => {
  const { client, network, open, frame } = world();
  client.connect('s');
  open();
  const answer = client.switchCycle('s');
  const [sent] = network.sent('COMMAND');
  assert.deepEqual([sent.command, sent.current_participant_id], ['switch', 'a']);
  frame({ type: 'ACK', id: sent.id, payload: { ...snapshot(4, { active_participant_id: 'b' }), outcome: { type: 'switched' }, position: '9-4' } });
  await answer;
  assert.deepEqual([client.session('s').version, client.session('s').position], [4, undefined]);
  client.switchCycle('s', { current_participant_id: 'a' }).catch(() => {});
  assert.equal(network.sent('COMMAND')[1].current_participant_id, 'a');
  client.disconnect();
});

test('a refusal is an error with its code, its status and the present snapshot', async () => {
  const { client } = world({ answers: { 'POST /v1/sessions/s/pause': () => problem(409, { code: 'not_running', session: snapshot(7) }) } });
  await assert.rejects(client.pauseSession('s'), (error) => {
    assert.ok(error instanceof SyncKairosError);
    assert.deepEqual([error.code, error.status, error.session.version], ['not_running', 409, 7]);
    return true;
  });
});

test('a call is repeated under one key until its time is over', async () => {
  let tries = 0;
  const { client, asked, timers } = world({ answers: { 'POST /v1/sessions/s/pause': () => (tries++ < 2 ? problem(503, { code: 'outcome_unknown' }) : snapshot(4)) } });
  const answer = client.pauseSession('s');
  for (let times = 0; times < 3; times += 1) {
    await settle();
    timers.pass(500);
  }
  assert.equal((await answer).version, 4);
  assert.equal(new Set(asked.map(({ headers }) => headers['Idempotency-Key'])).size, 1);
  assert.equal(timers.waiting, 0);
});

test('a command while nothing can be reached says that it was not sent', async () => {
  const { client, timers } = world({ requestTimeoutMs: 3000 });
  client.connect('t');
  const outcomes = Promise.allSettled([client.pauseSession('s'), client.pauseSession('t')]);
  for (let times = 0; times < 7; times += 1) {
    await settle();
    timers.pass(500);
  }
  assert.deepEqual((await outcomes).map(({ reason }) => reason.code), ['unsent', 'unsent']);
  client.disconnect();
});

test('a command whose request hangs, or breaks off, has an unknown outcome', async () => {
  for (const answer of [() => new Promise(() => {}), () => Promise.reject(new TypeError('socket hang up'))]) {
    const { client, timers } = world({ answers: { 'POST /v1/sessions/s/pause': answer } });
    const command = client.pauseSession('s');
    await settle();
    timers.pass(10_001);
    await assert.rejects(command, { code: 'unanswered' });
    assert.equal(timers.waiting, 0);
  }
});

test('arguments that make no sense throw at once, naming the field, and nothing is sent', () => {
  const { client, asked, network } = world();
  const wrong = {
    'sessionId must be an id': () => client.pauseSession('a b'),
    'sessionId': () => client.connect(''),
    'onUpdate must be a function': () => client.connect('s', 5),
    'pause.why is not known; the fields are': () => client.pauseSession('s', { why: 'tea' }),
    'pause.reason must be a text of 1 to 64 bytes': () => client.pauseSession('s', { reason: 'ä'.repeat(33) }),
    'adjust.add_ms or set_ms is needed': () => client.adjust('s', {}),
    'adjust.set_ms does not go with add_ms': () => client.adjust('s', { add_ms: 1, set_ms: 1 }),
    'adjust.add_ms must be whole milliseconds': () => client.adjust('s', { add_ms: '5' }),
    'adjust must be an object': () => client.adjust('s', null),
    'start.at must be an RFC 3339 instant': () => client.startSession('s', { at: 'noon' }),
    'revert.to_version is needed': () => client.command('s', 'revert'),
    'command must be one of start': () => client.command('s', 'begin'),
    'config.sync_mode is needed': () => client.createSession({}),
    'config must be an object': () => client.createSession(),
    'config.sync_mode must be one of per_participant': () => client.createSession({ sync_mode: 'chess' }),
    'config.participants[1].total_time_ms must be whole milliseconds': () => client.createSession({ sync_mode: 'per_participant', participants: [{}, { total_time_ms: -1 }] }),
    'config.action_on_timeout must be an object': () => client.createSession({ sync_mode: 'global', action_on_timeout: 'stop' }),
    'config.groups[0].name is not known': () => client.createSession({ sync_mode: 'per_group', groups: [{ name: 'red' }] }),
    'config.warnings_ms must be a list': () => client.createSession({ sync_mode: 'global', warnings_ms: 5000 }),
    'name must be one of update': () => client.on('updates', () => {}),
    'listener must be a function': () => client.on('update'),
    'base must be an address': () => new SyncKairosClient('timers.example'),
    'options.maxAttempts must be a whole number above 0': () => new SyncKairosClient('http://x', { maxAttempts: 0 }),
    'options.url is not known': () => new SyncKairosClient('http://x', { url: 'y' }),
    'options.transport must be one of automatic, sse, poll': () => new SyncKairosClient('http://x', { transports: { sse: () => {}, poll: () => {} }, transport: 'websocket' }),
    'options.token must be': () => new SyncKairosClient('http://x', { token: 5 }),
  };
  for (const [message, call] of Object.entries(wrong)) {
    assert.throws(call, (error) => error instanceof TypeError && error.message.startsWith(message), message);
  }
  assert.deepEqual([asked.length, network.streams.length], [0, 0]);
});

test('a field that is null or undefined counts as absent', () => {
  const { client } = world();
  assert.doesNotThrow(() => client.createSession({ sync_mode: 'global', total_time_ms: null, soft_close: undefined }).catch(() => {}));
  client.disconnect();
});

test('a session has one stream however many follow it, and it closes with the last of them', async () => {
  const { client, network, timers, open } = world();
  const [first, second] = [[], []];
  const stops = [client.connect('s', (one) => first.push(one.version)), client.connect('s', (one) => second.push(one.version))];
  open();
  network.last.listener.frame(update(4));
  stops[0]();
  stops[0]();
  network.last.listener.frame(update(5));
  const late = [];
  stops.push(client.connect('s', (one) => late.push(one.version)));
  await settle();
  assert.deepEqual([first, second, late, network.streams.length], [[3, 4], [3, 4, 5], [5], 1]);
  stops[1]();
  assert.ok(!network.last.isClosed);
  stops[2]();
  assert.deepEqual([network.last.isClosed, client.state('s'), client.session('s'), timers.waiting], [true, 'idle', null, 0]);
});

test('a follower that left at once gets nothing', async () => {
  const { client, open } = world();
  const told = [];
  client.connect('s');
  open();
  client.connect('s', (one) => told.push(one))();
  await settle();
  assert.deepEqual(told, []);
  client.disconnect();
});

test('it may be followed again at once, as React mounts twice', async () => {
  const { client, network, open, frame } = world();
  client.connect('s')();
  client.connect('s');
  assert.deepEqual([network.streams.length, network.streams[0].isClosed], [2, true]);
  open();
  assert.equal(client.state('s'), 'live');
  const answer = client.pauseSession('s');
  frame({ type: 'ACK', id: network.sent('COMMAND')[0].id, payload: { ...snapshot(4), outcome: {} } });
  assert.equal((await answer).version, 4);
  client.disconnect();
});

test('disconnect ends the followers of one session, or everything and every timer', async () => {
  const { client, network, timers, open } = world();
  const [s, t] = [[], []];
  client.connect('s', (one) => s.push(one));
  open();
  client.connect('t', (one) => t.push(one));
  const waiting = client.createSession({ sync_mode: 'global' });
  client.disconnect('s');
  assert.deepEqual([client.state('s'), client.state('t')], ['idle', 'connecting']);
  client.disconnect();
  await assert.rejects(waiting, { code: 'closed' });
  await settle();
  assert.deepEqual([client.state('t'), timers.waiting, network.streams.every((stream) => stream.isClosed)], ['idle', 0, true]);
});

test('a session that has ended may be followed again', () => {
  const { client, open, frame } = world();
  client.connect('s');
  open();
  frame({ type: 'SESSION_DELETED', session_id: 's' });
  assert.deepEqual([client.state('s'), client.ended('s')], ['closed', { code: 4503, reason: 'session deleted' }]);
  client.connect('s');
  open();
  assert.deepEqual([client.state('s'), client.ended('s')], ['live', null]);
  client.disconnect();
});

test('what a clock shows is told by cluster time', () => {
  const { client, open, setTime } = world();
  assert.equal(client.remaining('a'), null);
  client.connect('s');
  open();
  setTime(10_000);
  assert.ok(Math.abs(client.remaining('a') - 50_000) < 100);
  assert.deepEqual([client.remaining('b'), client.remaining('nobody'), client.remaining('a', 'other')], [60_000, null, null]);
  client.connect('t');
  assert.throws(() => client.remaining('a'), TypeError);
  assert.equal(client.remaining('b', 's'), 60_000);
  client.disconnect();
});

test('frames that are not understood are left out and counted, and the whole state is asked for', () => {
  const { client, network, timers, open, frame } = world();
  client.connect('s');
  open();
  frame({ type: 'UNREADABLE' });
  frame({ type: 'A_NEW_ONE', session_id: 's', position: '9-8' });
  frame({ ...sync(9), payload: { session_id: 's', version: 9 } });
  frame(sync(9, { sync_mode: 'per_galaxy' }));
  assert.deepEqual([client.ignoredFrames, client.session('s').version, network.sent('RECONNECT').length], [4, 3, 1]);
  timers.pass(5000);
  assert.equal(network.sent('RECONNECT').length, 2, 'once more for those that came meanwhile');
  frame({ type: 'HEARTBEAT', payload: {} });
  timers.pass(5000);
  assert.equal(network.sent('RECONNECT').length, 2);
  frame({ type: 'UNREADABLE' });
  client.disconnect();
  assert.deepEqual([client.ignoredFrames, timers.waiting], [5, 0]);
});

test('cluster time is measured by plain requests where nothing is followed', async () => {
  const { client, told } = world({ answers: { 'POST /v1/time': () => {
    const ms = Date.now() + 3_600_000;
    return { receive_ms: ms, transmit_ms: ms, uncertainty_ms: 0.5 };
  } } });
  const { offset, roundTrip, uncertainty } = await client.syncServerTime();
  assert.ok(Math.abs(offset - 3_600_000) < 200, String(offset));
  assert.ok(roundTrip >= 0 && uncertainty >= 0.5);
  assert.ok(Math.abs(client.getServerTime() - Date.now() - 3_600_000) < 200);
  const named = (name) => told.filter(([one]) => one === name);
  assert.deepEqual([named('timeSynced').length, named('clockSkewDetected').length], [4, 1]);
  const away = world();
  await assert.rejects(away.client.syncServerTime(), { code: 'unreachable' });
});

test('a listener that throws does not keep the others from being called', async () => {
  const { client, open } = world();
  const thrown = [];
  const noted = (error) => thrown.push(error.message);
  process.prependOnceListener('uncaughtException', noted);
  const told = [];
  client.on('connected', () => { throw new Error('of the app'); });
  client.on('connected', () => told.push('connected'));
  client.connect('s');
  const before = process.listeners('uncaughtException').filter((one) => one !== noted);
  before.forEach((one) => process.removeListener('uncaughtException', one));
  open();
  await settle();
  before.forEach((one) => process.on('uncaughtException', one));
  assert.deepEqual([told, thrown], [['connected'], ['of the app']]);
  client.disconnect();
});
