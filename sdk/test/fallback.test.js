import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../connection.js';
import { SyncKairosError } from '../problem.js';
import { FakeNetwork, FakeTimers, fakeRest, settle } from './fakes.js';

const snapshot = (version) => ({ session_id: 's', epoch: 9, version, participants: [] });
const sync = (version) => ({ type: 'STATE_SYNC', position: `9-${version}`, payload: snapshot(version) });
const update = (version) => ({ type: 'STATE_UPDATE', position: `9-${version}`, payload: snapshot(version) });
const beat = (version) => ({ type: 'HEARTBEAT', position: `9-${version}`, payload: {} });

/** All three transports, each a network of its own, and a server that answers plain requests unless it is away. */
function world({ transport = 'automatic', isAway = false } = {}) {
  const [websocket, sse, poll] = [new FakeNetwork(), new FakeNetwork({ listens: true }), new FakeNetwork({ listens: true })];
  const timers = new FakeTimers();
  const w = { websocket, sse, poll, timers, isAway, frames: [], told: [] };
  const answering = (give) => async () => {
    if (w.isAway) throw new SyncKairosError({ code: 'unreachable' });
    return give();
  };
  w.rest = fakeRest({
    read: answering(() => snapshot(3)),
    time: answering(() => ({ receive_ms: 5, transmit_ms: 5 })),
    command: answering(() => ({ ...snapshot(9), outcome: {} })),
  });
  const transports = { websocket: websocket.transport, sse: sse.transport, poll: poll.transport };
  const parts = { base: 'http://x', sessionId: 's', transport, transports, timers, rest: w.rest, random: () => 0.5 };
  w.connection = new Connection(parts).open();
  w.connection.on('frame', (frame) => w.frames.push(`${frame.type} ${frame.position}`));
  w.connection.on('transport', (name) => w.told.push(name));
  w.live = (network, ...frames) => {
    network.last.listener.opened();
    for (const frame of frames) network.last.listener.frame(frame);
  };
  w.counts = () => [websocket, sse, poll].map((network) => network.streams.length);
  return w;
}

async function onPoll() {
  const w = world();
  w.websocket.last.listener.closed(1006, '');
  await settle();
  w.sse.last.listener.closed(1006, '');
  await settle();
  w.live(w.poll, sync(3));
  return w;
}

test('it falls back from a WebSocket that does not open to SSE, and then to long-poll', async () => {
  const w = await onPoll();
  assert.deepEqual(w.counts(), [1, 1, 1]);
  assert.deepEqual([w.connection.transport, w.connection.state], ['poll', 'live']);
  assert.deepEqual(w.connection.fallback.objections, { websocket: 'unopened', sse: 'unopened' });
  assert.deepEqual(w.told, ['sse', 'poll']);
});

test('an attempt that hangs while opening is given up within ten seconds', async () => {
  const w = world();
  w.timers.pass(8100);
  await settle();
  assert.deepEqual([w.connection.transport, w.counts()[1]], ['sse', 1]);
});

test('a silent stream is given up after 7.5 seconds, and no version is missed', async () => {
  const w = world();
  w.live(w.websocket, sync(3), update(4));
  w.timers.pass(7400);
  assert.deepEqual([w.connection.state, w.connection.transport], ['stale', 'websocket']);
  w.timers.pass(200);
  await settle();
  assert.deepEqual([w.connection.transport, w.sse.last.address.last], ['sse', '9-4']);
  w.live(w.sse, update(5));
  assert.deepEqual(w.frames, ['STATE_SYNC 9-3', 'STATE_UPDATE 9-4', 'STATE_UPDATE 9-5']);
  assert.deepEqual(w.connection.fallback.objections, { websocket: 'silent' });
});

test('events that open again and say nothing do not keep it from falling back', async () => {
  const w = world();
  w.websocket.last.listener.closed(1006, '');
  await settle();
  w.live(w.sse, sync(3));
  let answer;
  w.rest.read = () => new Promise((give) => (answer = () => give(snapshot(3))));
  w.timers.pass(7600);
  // It is tried again before the plain read has its answer, and only the head comes through.
  w.timers.pass(1000);
  w.sse.last.listener.opened();
  assert.deepEqual([w.connection.transport, w.counts()[1]], ['sse', 2]);
  answer();
  await settle();
  assert.deepEqual([w.connection.transport, w.counts()[2]], ['poll', 1]);
});

test('buffered events make it fall back to long-poll, with the reason', async () => {
  const w = world({ transport: 'automatic' });
  w.websocket.last.listener.closed(1006, '');
  await settle();
  w.sse.last.listener.opened();
  w.timers.pass(9100);
  await settle();
  assert.deepEqual([w.connection.transport, w.connection.fallback.objections.sse], ['poll', 'unheard']);
});

test('after the last transport it begins with the first, after the usual pause', async () => {
  const w = await onPoll();
  for (let cuts = 0; cuts < 3; cuts += 1) {
    w.live(w.poll, beat(3));
    w.poll.last.listener.closed(1006, '');
    await settle();
    w.timers.pass(300);
  }
  assert.deepEqual([w.connection.transport, w.connection.fallback.objections], ['websocket', {}]);
  w.live(w.websocket, beat(3));
  assert.equal(w.connection.state, 'live');
});

test('a server that is away causes no fallback', async () => {
  const w = world({ isAway: true });
  for (let tries = 0; tries < 5; tries += 1) {
    w.websocket.last.listener.closed(1006, '');
    await settle();
    w.timers.pass(2000);
  }
  assert.deepEqual([w.connection.transport, w.counts()], ['websocket', [6, 0, 0]]);
});

test('a restart, or a cut after a while, causes no fallback', async () => {
  const w = world();
  for (const code of [1012, 4001, 4003, 4004]) {
    w.live(w.websocket, beat(3));
    w.websocket.last.listener.closed(code, '');
    await settle();
    w.timers.pass(300);
  }
  w.live(w.websocket, beat(3));
  w.timers.pass(5100);
  w.websocket.last.listener.closed(1006, '');
  await settle();
  w.timers.pass(300);
  assert.deepEqual([w.connection.transport, w.counts()], ['websocket', [6, 0, 0]]);
});

test('a transport that is repeatedly cut at once is left', async () => {
  const w = world();
  for (let tries = 0; tries < 3; tries += 1) {
    w.live(w.websocket, sync(3));
    w.websocket.last.listener.closed(1006, '');
    await settle();
    w.timers.pass(300);
  }
  assert.deepEqual([w.connection.transport, w.connection.fallback.objections], ['sse', { websocket: 'cut' }]);
});

test('better transports are tried beside a lesser one, and the best that works takes over', async () => {
  const w = await onPoll();
  w.timers.pass(3700);
  assert.deepEqual(w.counts(), [1, 1, 1]);
  w.poll.last.listener.frame(update(4));
  w.timers.pass(100);
  assert.deepEqual(w.counts(), [2, 1, 1]);
  assert.equal(w.websocket.last.address.last, '9-4');
  w.poll.last.listener.frame(update(5));
  w.live(w.websocket);
  assert.deepEqual([w.connection.transport, w.poll.last.isClosed], ['poll', false], 'opening alone proves nothing');
  for (const version of [5, 6]) w.websocket.last.listener.frame(update(version));
  w.poll.last.listener.frame(update(6));
  assert.deepEqual([w.connection.transport, w.poll.last.isClosed, w.connection.state], ['websocket', true, 'live']);
  assert.deepEqual(w.frames, ['STATE_SYNC 9-3', 'STATE_UPDATE 9-4', 'STATE_UPDATE 9-5', 'STATE_UPDATE 9-6']);
  assert.deepEqual(w.connection.fallback.objections, {});
  w.timers.pass(2900);
  assert.deepEqual(w.counts(), [2, 1, 1], 'the best has none to try');
});

test('after the best the next is tried, and then all at longer intervals', async () => {
  const w = await onPoll();
  w.timers.pass(3750);
  w.websocket.last.listener.closed(1006, '');
  assert.deepEqual(w.counts(), [2, 2, 1]);
  w.sse.last.listener.closed(1006, '');
  for (let times = 0; times < 10; times += 1) {
    w.timers.pass(740);
    w.poll.last.listener.frame(beat(3));
  }
  assert.deepEqual(w.counts(), [2, 2, 1]);
  w.timers.pass(200);
  assert.deepEqual(w.counts(), [3, 2, 1]);
  assert.deepEqual([w.connection.state, w.connection.transport], ['live', 'poll']);
});

test('a pinned transport is never left', async () => {
  const w = world({ transport: 'sse' });
  for (let tries = 0; tries < 4; tries += 1) {
    w.sse.last.listener.closed(1006, '');
    await settle();
    w.timers.pass(2000);
  }
  w.live(w.sse, sync(3));
  w.timers.pass(2000);
  assert.deepEqual([w.connection.transport, w.counts()], ['sse', [0, 5, 0]]);
  assert.throws(() => world({ transport: 'pigeon' }), RangeError);
});

test('another transport resumes at the last position', async () => {
  const w = world();
  w.live(w.websocket, sync(3), update(4));
  w.connection.setTransport('poll');
  assert.deepEqual([w.websocket.last.isClosed, w.poll.last.address.last, w.connection.transport], [true, '9-4', 'poll']);
  w.live(w.poll, update(5));
  w.connection.setTransport('automatic');
  assert.deepEqual([w.poll.last.isClosed, w.websocket.last.address.last, w.counts()], [true, '9-5', [2, 0, 1]]);
});

test('on a receive-only transport, commands and time sync use plain requests', async () => {
  const w = await onPoll();
  assert.ok(w.rest.asked.some(([name]) => name === 'time'));
  const answer = await w.connection.command('pause', { reason: 'tea' });
  assert.equal(answer.version, 9);
  const [, sessionId, command, fields, key] = w.rest.asked.find(([name]) => name === 'command');
  assert.deepEqual([sessionId, command, fields], ['s', 'pause', { reason: 'tea' }]);
  assert.match(key, /^[0-9a-f]{32}$/);
});

test('a command lost on a silent WebSocket is sent again on the next transport, with its key', async () => {
  const w = world();
  w.live(w.websocket, sync(3));
  const answer = w.connection.command('pause');
  const [asked] = w.websocket.sent('COMMAND');
  w.timers.pass(9100);
  await settle();
  w.live(w.sse, beat(3));
  await answer;
  assert.equal(w.rest.asked.find(([name]) => name === 'command').at(-1), asked.idempotency_key);
});

test('a snapshot from an answer does not hide the frame of its version', async () => {
  const w = world();
  w.live(w.websocket, sync(3));
  const answer = w.connection.command('pause');
  const [{ id }] = w.websocket.sent('COMMAND');
  w.websocket.last.listener.frame({ type: 'ACK', id, payload: { ...snapshot(4), outcome: {} } });
  await answer;
  w.websocket.last.listener.closed(1012, '');
  w.timers.pass(300);
  assert.deepEqual([w.connection.session.version, w.websocket.last.address.last], [4, '9-3']);
});

test('a final refusal holds on every transport', async () => {
  const w = await onPoll();
  w.poll.last.listener.closed(4500, 'token refused or expired');
  w.timers.pass(60_000);
  assert.deepEqual([w.connection.state, w.connection.ended.code, w.counts()], ['closed', 4500, [1, 1, 1]]);
});

test('a transport that the platform forbids counts as unopened', async () => {
  const w = world();
  w.connection.close();
  const forbidden = () => { throw new Error('SecurityError'); };
  const transports = { websocket: forbidden, poll: w.poll.transport };
  const parts = { base: 'http://x', sessionId: 's', transports, timers: w.timers, rest: w.rest, random: () => 0.5 };
  const connection = new Connection(parts).open();
  w.timers.pass(1);
  await settle();
  assert.equal(connection.transport, 'poll');
});
