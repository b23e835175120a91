import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff, isRetryable } from '../backoff.js';
import { Connection } from '../connection.js';
import { SyncKairosError } from '../problem.js';
import { FakeNetwork, FakeTimers, fakeRest, settle } from './fakes.js';

const snapshot = (version, more = {}) => ({ session_id: 's', epoch: 9, version, participants: [], ...more });
const sync = (version) => ({ type: 'STATE_SYNC', position: `9-${version}`, payload: snapshot(version) });
const update = (version, more) => ({ type: 'STATE_UPDATE', position: `9-${version}`, payload: snapshot(version, more) });

function following({ rest = fakeRest(), heartbeatMs = 5000 } = {}) {
  const [network, timers] = [new FakeNetwork(), new FakeTimers()];
  const parts = { base: 'http://x', sessionId: 's', heartbeatMs, transport: network.transport, timers, rest, random: () => 0.5 };
  const connection = new Connection(parts).open();
  const states = [];
  connection.on('state', (state) => states.push(state));
  const open = (version) => {
    network.last.listener.opened();
    network.last.listener.frame(sync(version));
  };
  return { connection, network, timers, rest, states, open, frame: (one) => network.last.listener.frame(one) };
}

test('it is live with the first frame, and has the newest state', () => {
  const { connection, open, frame, states } = following();
  open(3);
  frame(update(5));
  frame(update(4));
  assert.deepEqual([connection.state, connection.session.version, states], ['live', 5, ['live']]);
});

test('after a close it reconnects with growing pauses, from its position', () => {
  const { network, timers, open, states } = following();
  open(3);
  network.last.listener.closed(1006, '');
  timers.pass(186);
  assert.equal(network.streams.length, 1);
  timers.pass(2);
  assert.deepEqual([network.streams.length, network.last.address.last], [2, '9-3']);
  network.last.listener.closed(1006, '');
  timers.pass(374);
  assert.equal(network.streams.length, 2);
  timers.pass(2);
  assert.equal(network.streams.length, 3);
  open(3);
  assert.deepEqual(states, ['live', 'away', 'live']);
});

test('the pause between attempts grows to a maximum, with jitter and a plateau for restarts', () => {
  const [least, most] = [new Backoff(() => 0), new Backoff(() => 1)];
  const waits = Array.from({ length: 30 }, () => [least.nextMs(), most.nextMs()]);
  assert.deepEqual(waits.slice(0, 4), [[125, 250], [250, 500], [500, 1000], [750, 1500]]);
  assert.deepEqual(waits[19], [750, 1500]);
  assert.deepEqual(waits.at(-1), [7500, 15_000]);
  least.reset();
  assert.equal(least.nextMs(), 125);
});

test('45xx is final, every other code reconnects', () => {
  for (const code of [1000, 1001, 1005, 1006, 1009, 1011, 1012, 4001, 4003, 4004, 4008, 4499]) assert.ok(isRetryable(code), `${code}`);
  for (const code of [4500, 4501, 4502, 4503, 4504, 4999]) assert.ok(!isRetryable(code), `${code}`);
  const { connection, network, timers, open } = following();
  open(1);
  network.last.listener.closed(4502, 'no such session');
  timers.pass(60_000);
  assert.deepEqual([connection.state, connection.ended.code, network.streams.length], ['closed', 4502, 1]);
});

test('a deleted session is not followed any more', async () => {
  const { connection, frame, open } = following();
  open(1);
  frame({ type: 'SESSION_DELETED' });
  assert.deepEqual([connection.state, connection.ended.code], ['closed', 4503]);
  await assert.rejects(connection.command('pause'), { code: 'closed' });
});

test('a silent stream is stale after two heartbeats, dead half an interval later', () => {
  const { connection, network, timers, frame, open } = following();
  open(1);
  timers.pass(10_400);
  assert.equal(connection.state, 'live');
  timers.pass(200);
  assert.equal(connection.state, 'stale');
  frame({ type: 'HEARTBEAT', payload: { position: '9-1' } });
  assert.equal(connection.state, 'live');
  timers.pass(12_400);
  assert.equal(connection.state, 'stale');
  timers.pass(200);
  assert.ok(network.streams[0].isClosed);
  assert.equal(connection.state, 'away');
});

test('a stream that never opens is given up and retried', () => {
  const { network, timers } = following();
  timers.pass(8200);
  assert.deepEqual([network.streams[0].isClosed, network.streams.length], [true, 2]);
});

test('a heartbeat with a newer position fetches the whole state', () => {
  const { connection, network, frame, open } = following();
  open(3);
  frame({ type: 'HEARTBEAT', position: '9-4', payload: { now_ms: 1 } });
  assert.deepEqual(network.sent('RECONNECT'), [{ type: 'RECONNECT', last_known_version: 3 }]);
  frame(sync(4));
  assert.equal(connection.session.version, 4);
});

test('a partial update over a gap fetches the whole state', () => {
  const { connection, network, frame, open } = following();
  open(3);
  frame({ ...update(5, { changed: [] }), partial: true });
  assert.equal(network.sent('RECONNECT').length, 1);
  assert.equal(connection.session.version, 3);
});

test('a command is answered by its id, and its snapshot is merged', async () => {
  const { connection, network, frame, open } = following();
  open(3);
  const answer = connection.command('pause', { reason: 'tea' });
  const [asked] = network.sent('COMMAND');
  assert.deepEqual([asked.command, asked.reason, asked.idempotency_key], ['pause', 'tea', asked.id]);
  frame({ type: 'ACK', id: asked.id, payload: { ...snapshot(4), outcome: { type: 'paused' } } });
  assert.equal((await answer).outcome.type, 'paused');
  assert.deepEqual([connection.session.version, connection.session.outcome], [4, undefined]);
});

test('a refusal is a problem with the present snapshot', async () => {
  const { connection, network, frame, open } = following();
  open(3);
  const answer = connection.command('pause');
  const payload = { code: 'not_running', status: 409, detail: 'it is paused', session: snapshot(6) };
  frame({ type: 'ERROR', id: network.sent('COMMAND')[0].id, payload });
  await assert.rejects(answer, (problem) => problem instanceof SyncKairosError && problem.code === 'not_running');
  assert.equal(connection.session.version, 6);
});

test('an unanswered command is sent again with the same key after a reconnect', async () => {
  const { connection, network, timers, frame, open } = following();
  open(3);
  const answer = connection.command('switch', { current_participant_id: 'a' });
  const [first] = network.sent('COMMAND');
  network.last.listener.closed(1012, 'restart');
  timers.pass(300);
  open(4);
  const [second] = network.sent('COMMAND');
  assert.deepEqual(second, first);
  frame({ type: 'ACK', id: second.id, payload: snapshot(4) });
  await answer;
});

test('an unknown outcome is retried with the same key', async () => {
  const { connection, network, timers, frame, open } = following();
  open(3);
  const answer = connection.command('pause');
  const [asked] = network.sent('COMMAND');
  frame({ type: 'ERROR', id: asked.id, payload: { code: 'outcome_unknown', status: 503, retry_after_ms: 200 } });
  timers.pass(250);
  assert.deepEqual(network.sent('COMMAND'), [asked, asked]);
  frame({ type: 'ACK', id: asked.id, payload: snapshot(4) });
  await answer;
});

test('a command times out', async () => {
  const { connection, timers, open } = following();
  open(3);
  const answer = connection.command('pause');
  timers.pass(10_001);
  await assert.rejects(answer, { code: 'unanswered' });
});

test('where no stream works, commands go over REST with the same key', async () => {
  const rest = fakeRest({ read: async () => snapshot(3), command: async () => ({ ...snapshot(4), outcome: {} }) });
  const { connection, network, timers } = following({ rest });
  const answer = connection.command('start', { participant_id: 'a' });
  network.last.listener.closed(1006, '');
  timers.pass(300);
  network.last.listener.closed(1006, '');
  await answer;
  const [, sessionId, command, fields, key] = rest.asked.find(([name]) => name === 'command');
  assert.deepEqual([sessionId, command, fields], ['s', 'start', { participant_id: 'a' }]);
  assert.match(key, /^[0-9a-f]{32}$/);
  assert.equal(connection.session.version, 4);
});

test('a stream that does not open for lack of a session is closed for good', async () => {
  const rest = fakeRest({ read: async () => { throw new SyncKairosError({ status: 404, code: 'session_not_found' }); } });
  const { connection, network } = following({ rest });
  network.last.listener.closed(1006, '');
  await settle();
  assert.deepEqual([connection.state, connection.ended.code], ['closed', 4502]);
});

test('reconnectNow reconnects at once', () => {
  const { connection, network } = following();
  network.last.listener.closed(1006, '');
  connection.reconnectNow();
  assert.equal(network.streams.length, 2);
});

test('pings carry whole milliseconds, and their pongs make a sample', () => {
  const { connection, network, frame, open } = following();
  open(1);
  const [ping] = network.sent('PING');
  assert.ok(Number.isInteger(ping.timestamp));
  const at = connection.sync.monotonicMs() + 60_000;
  frame({ type: 'PONG', payload: { timestamp: ping.timestamp, received_at_ms: at, sent_at_ms: at } });
  assert.ok(Math.abs(connection.sync.offset - 60_000) < 1000);
  frame({ type: 'PONG', payload: { timestamp: 12345, received_at_ms: 0, sent_at_ms: 0 } });
  assert.ok(Math.abs(connection.sync.offset - 60_000) < 1000);
});

test('fields beside the payload are read as well', () => {
  const { connection, network, frame, open } = following();
  open(1);
  const { timestamp } = network.sent('PING')[0];
  const at = connection.sync.monotonicMs();
  frame({ type: 'PONG', timestamp, received_at_ms: at, sent_at_ms: at });
  assert.ok(connection.sync.hasSample);
});

test('nothing else may rest on a stream on which nothing was heard', () => {
  const unanswered = following();
  unanswered.timers.pass(8001);
  const silent = following();
  silent.open(1);
  silent.timers.pass(15_001);
  const stale = following();
  stale.open(1);
  stale.timers.pass(10_501);
  stale.connection.reconnectNow();
  const left = following();
  left.open(1);
  left.connection.close();
  assert.deepEqual([unanswered, silent, stale, left].map(({ network }) => network.streams[0].isSuspect), [true, true, true, false]);
});

test('a loss is told with the failures in a row, and a live stream begins anew', () => {
  const { connection, network, timers, open } = following();
  const lost = [];
  connection.on('lost', ({ code, failures }) => lost.push([code, failures]));
  const lose = (code) => {
    network.last.listener.closed(code, '');
    timers.pass(2000);
  };
  lose(1006);
  lose(1006);
  open(1);
  lose(1012);
  lose(1006);
  assert.deepEqual(lost, [[1006, 1], [1006, 2], [1012, 0], [1006, 1]]);
});
