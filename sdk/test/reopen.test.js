import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../connection.js';
import { longPolls } from '../poll.js';
import { SyncKairosError } from '../problem.js';
import { FakeNetwork, FakeTimers, fakeRest, settle } from './fakes.js';

const snapshot = (version, epoch = 9) => ({ session_id: 's', epoch, version, participants: [] });
const sync = (version, epoch = 9) => ({ type: 'STATE_SYNC', position: `${epoch}-${version}`, payload: snapshot(version, epoch) });
const update = (version) => ({ type: 'STATE_UPDATE', position: `9-${version}`, payload: snapshot(version) });

const EVENTS = ['session', 'state', 'transport', 'expired', 'warning', 'frame'];

function built({ rest = fakeRest(), transports } = {}) {
  const [network, timers] = [new FakeNetwork(), new FakeTimers()];
  const ways = transports ? { transports } : { transport: network.transport };
  const connection = new Connection({ base: 'http://x', sessionId: 's', heartbeatMs: 5000, timers, rest, random: () => 0.5, ...ways });
  const told = [];
  for (const name of EVENTS) connection.on(name, (fact) => told.push([name, fact]));
  const open = (frame = sync(3)) => {
    network.last.listener.opened();
    network.last.listener.frame(frame);
  };
  const states = () => told.filter(([name]) => name === 'state').map(([, state]) => state);
  const alive = () => network.streams.filter((stream) => !stream.isClosed).length;
  return { connection, network, timers, rest, told, states, open, alive, frame: (one) => network.last.listener.frame(one) };
}

test('a connection closed and opened again is live again', () => {
  const { connection, open, states, alive } = built();
  connection.open();
  open();
  connection.close();
  connection.open();
  assert.deepEqual([connection.state, connection.ended], ['connecting', null]);
  open();
  assert.deepEqual([connection.state, connection.session.version, alive()], ['live', 3, 1]);
  assert.deepEqual(states(), ['live', 'closed', 'connecting', 'live']);
});

test('open, close, open before any frame, as React mounts twice', async () => {
  const { connection, network, open, frame, alive } = built();
  connection.open();
  connection.close();
  connection.open();
  assert.deepEqual([network.streams.length, network.streams[0].isClosed, alive()], [2, true, 1]);
  open();
  const answer = connection.command('pause');
  const [asked] = network.sent('COMMAND');
  frame({ type: 'ACK', id: asked.id, payload: { ...snapshot(4), outcome: {} } });
  assert.equal((await answer).version, 4);
});

test('every event is emitted after a reopen', () => {
  const { connection, network, told, open, frame } = built();
  connection.open();
  open();
  connection.close();
  connection.open();
  told.length = 0;
  open();
  frame({ ...update(4), event: {} });
  frame({ type: 'TIME_EXPIRED', position: '9-4', payload: { at: 'now' } });
  frame({ type: 'TIME_WARNING', payload: { remaining_ms: 5 } });
  connection.setTransport('own');
  network.last.listener.closed(1006, '');
  assert.deepEqual([...new Set(told.map(([name]) => name))].sort(), [...EVENTS].sort());
});

test('a reopened connection requests the whole state', () => {
  const { connection, network, open } = built();
  connection.open();
  open(sync(7, 20));
  connection.close();
  connection.open();
  assert.deepEqual([connection.session, network.last.address.last], [null, null]);
  open(sync(1, 12));
  assert.equal(connection.session.epoch, 12);
});

test('every command works over a reopened connection', async () => {
  const rest = fakeRest({ command: async () => ({ ...snapshot(5), outcome: {} }) });
  const { connection, network, open, frame } = built({ rest });
  connection.open();
  open();
  const lost = connection.command('pause');
  connection.close();
  await assert.rejects(lost, { code: 'closed' });
  await assert.rejects(connection.command('pause'), { code: 'closed' });
  connection.open();
  open();
  assert.deepEqual(network.sent('COMMAND'), [], 'what was refused is not sent later');
  const granted = connection.command('start');
  frame({ type: 'ACK', id: network.sent('COMMAND')[0].id, payload: { ...snapshot(4), outcome: {} } });
  assert.equal((await granted).version, 4);
  const refused = connection.command('start');
  frame({ type: 'ERROR', id: network.sent('COMMAND')[1].id, payload: { code: 'already_started', status: 409 } });
  await assert.rejects(refused, { code: 'already_started' });
});

test('a second open changes nothing', () => {
  const { connection, network, timers, open } = built();
  connection.open();
  const waiting = timers.waiting;
  connection.open();
  open();
  connection.open();
  assert.deepEqual([network.streams.length, connection.state], [1, 'live']);
  connection.close();
  assert.equal(timers.waiting, 0);
  assert.ok(waiting > 0);
});

test('a second close changes nothing, and the first reason stays', () => {
  const { connection, open, states } = built();
  connection.open();
  open();
  connection.close(4503, 'session deleted');
  connection.close();
  assert.deepEqual([connection.ended, states()], [{ code: 4503, reason: 'session deleted' }, ['live', 'closed']]);
});

test('a connection closed before its first open can open', () => {
  const { connection, open } = built();
  connection.close();
  connection.open();
  open();
  assert.equal(connection.state, 'live');
});

test('a close at any moment leaves no timer and no stream', async () => {
  const moments = {
    'while it opens': () => {},
    'when it is live': ({ open }) => open(),
    'with a command that waits': ({ open, connection }) => {
      open();
      connection.command('pause').catch(() => {});
    },
    'with a command that is to be repeated': ({ open, connection, network, frame }) => {
      open();
      connection.command('pause').catch(() => {});
      frame({ type: 'ERROR', id: network.sent('COMMAND')[0].id, payload: { code: 'draining', status: 503 } });
    },
    'when it is stale': ({ open, timers }) => {
      open();
      timers.pass(11_000);
    },
    'when the server is away': ({ open, network }) => {
      open();
      network.last.listener.closed(1012, '');
    },
    'while a plain read looks for the reason': ({ network }) => network.last.listener.closed(1006, ''),
  };
  for (const [moment, reach] of Object.entries(moments)) {
    const parts = built();
    parts.connection.open();
    reach(parts);
    parts.connection.close();
    await settle();
    assert.deepEqual([parts.timers.waiting, parts.alive()], [0, 0], moment);
    parts.connection.open();
    parts.open();
    assert.deepEqual([parts.connection.state, parts.alive()], ['live', 1], moment);
  }
});

test('a close during a trial leaves neither stream', () => {
  const [websocket, sse] = [new FakeNetwork(), new FakeNetwork({ listens: true })];
  const rest = fakeRest({ read: async () => snapshot(3), time: async () => ({}) });
  const { connection, timers } = built({ rest, transports: { websocket: websocket.transport, sse: sse.transport } });
  connection.open();
  websocket.last.listener.closed(1006, '');
  return settle().then(() => {
    sse.last.listener.opened();
    sse.last.listener.frame(sync(3));
    connection.reconnectNow();
    assert.equal(websocket.streams.length, 2);
    connection.close();
    assert.ok([...websocket.streams.slice(1), ...sse.streams].every((stream) => stream.isClosed));
    assert.equal(timers.waiting, 0);
    connection.open();
    assert.equal(connection.transport, 'websocket', 'it begins with the best transport');
  });
});

test('a listener may open it while it closes', () => {
  const { connection, open, alive } = built();
  connection.open();
  open();
  const stop = connection.on('state', (state) => state === 'closed' && connection.open());
  connection.close();
  stop();
  open();
  assert.deepEqual([connection.state, connection.ended, alive()], ['live', null, 1]);
});

test('a listener may close it while it opens', () => {
  for (const when of ['connecting', 'live', 'away']) {
    const { connection, network, timers, open, alive } = built();
    connection.open();
    open();
    network.last.listener.closed(1012, '');
    connection.close();
    connection.on('state', (state) => state === when && connection.close());
    connection.open();
    if (when !== 'connecting') open();
    if (when === 'away') network.last.listener.closed(1006, '');
    assert.deepEqual([connection.state, timers.waiting, alive()], ['closed', 0, 0], when);
  }
});

test('an answer to a read of an earlier run does not end this one', async () => {
  let answer;
  const rest = fakeRest({ read: () => new Promise((_resolve, reject) => (answer = reject)) });
  const { connection, network, open } = built({ rest });
  connection.open();
  network.last.listener.closed(1006, '');
  connection.close();
  connection.open();
  open();
  answer(new SyncKairosError({ status: 404, code: 'session_not_found' }));
  await settle();
  assert.deepEqual([connection.state, connection.ended], ['live', null]);
});

test('no event of a closed run is emitted later', async () => {
  let answer;
  const rest = fakeRest({ read: () => new Promise((resolve) => (answer = resolve)) });
  const { connection, network, told } = built({ rest });
  connection.open();
  const { listener } = network.last;
  listener.closed(1006, '');
  connection.close();
  told.length = 0;
  answer(snapshot(8));
  listener.frame(sync(9));
  await settle();
  assert.deepEqual([told, connection.session], [[], null]);
});

test('a stopped long-poll leaves no timer behind', async () => {
  const timers = new FakeTimers();
  const body = { position: '9-1', events: [], session: snapshot(1), next_poll_ms: 5000 };
  const fetch = async () => ({ ok: true, json: async () => body });
  const listener = { opened: () => {}, frame: () => {}, closed: () => {} };
  const address = { base: 'http://x', sessionId: 's', last: null, heartbeatMs: 5000, token: null };
  const stream = longPolls({ fetch, timers })(address, listener);
  await settle();
  assert.equal(timers.waiting, 1);
  stream.close();
  assert.equal(timers.waiting, 0);
});

test('an unsent command is rejected as unsent, a sent one as unanswered', async () => {
  const { connection, network, timers, open } = built();
  connection.open();
  open();
  const sent = connection.command('pause');
  network.last.listener.closed(1012, '');
  const unsent = connection.command('resume');
  timers.pass(10_001);
  await assert.rejects(sent, { code: 'unanswered' });
  await assert.rejects(unsent, { code: 'unsent' });
});
