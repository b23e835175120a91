import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedSockets } from '../shared-socket.js';
import { settle } from './fakes.js';

class FakeSocket extends EventTarget {
  static made = [];
  readyState = 0;
  sent = [];

  constructor(url, protocols) {
    super();
    Object.assign(this, { url, protocols });
    FakeSocket.made.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  open() {
    this.readyState = 1;
    this.dispatchEvent(new Event('open'));
  }

  say(frame) {
    this.dispatchEvent(Object.assign(new Event('message'), { data: typeof frame === 'string' ? frame : JSON.stringify(frame) }));
  }

  end(code, reason = '') {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
  }
}

/** A transport, and sessions that join it; each notes what it is told. */
function sharing() {
  FakeSocket.made = [];
  const transport = sharedSockets(FakeSocket);
  const join = (sessionId, more = {}) => {
    const told = [];
    const listener = { opened: () => told.push('opened'), frame: ({ type }) => told.push(type), closed: (code) => told.push(code) };
    return { told, ...transport({ base: 'https://x.test', sessionId, last: null, heartbeatMs: 3000, token: 't', ...more }, listener) };
  };
  /** The server places a session. */
  const place = (sessionId, socket = FakeSocket.made.at(-1)) => {
    const asked = socket.sent.filter((frame) => frame.type === 'SUBSCRIBE' && frame.session_id === sessionId).at(-1);
    socket.say({ type: 'ACK', id: asked.id, session_id: sessionId, payload: {} });
  };
  return { join, place, sockets: FakeSocket.made };
}

const types = (socket) => socket.sent.map(({ type, session_id: id, last }) => [type, id, last].filter(Boolean).join(' '));

test('many sessions share one socket, and the token stands in no address', () => {
  const { join, place, sockets } = sharing();
  const [a, b] = [join('a'), join('b', { last: '9-3' })];
  assert.deepEqual([sockets.length, sockets[0].url, sockets[0].protocols], [1, 'wss://x.test/v1/ws?heartbeat_ms=3000', ['synckairos.v1', 'bearer.t']]);
  sockets[0].open();
  const c = join('c');
  assert.deepEqual(types(sockets[0]), ['SUBSCRIBE a', 'SUBSCRIBE b 9-3', 'SUBSCRIBE c']);
  for (const id of ['a', 'b', 'c']) place(id);
  sockets[0].say({ type: 'STATE_SYNC', session_id: 'a' });
  sockets[0].say({ type: 'STATE_UPDATE', session_id: 'b' });
  sockets[0].say({ type: 'STATE_UPDATE', session_id: 'nobody' });
  assert.deepEqual([a.told, b.told, c.told], [['opened', 'STATE_SYNC'], ['opened', 'STATE_UPDATE'], ['opened']]);
});

test('a heartbeat, and what cannot be read, is for every session that has its place', () => {
  const { join, place, sockets } = sharing();
  const [a, b] = [join('a'), join('b')];
  sockets[0].open();
  place('a');
  sockets[0].say({ type: 'HEARTBEAT', payload: {} });
  sockets[0].say('{"type":');
  assert.deepEqual([a.told, b.told], [['opened', 'HEARTBEAT', 'UNREADABLE'], []]);
});

test('what is sent names its session', () => {
  const { join, sockets } = sharing();
  const a = join('a');
  sockets[0].open();
  a.send({ type: 'COMMAND', id: '1', command: 'pause' });
  assert.deepEqual(sockets[0].sent.at(-1), { type: 'COMMAND', id: '1', command: 'pause', session_id: 'a' });
});

test('a refused session ends alone, with the code that means the same', () => {
  for (const [code, close] of [['session_not_found', 4502], ['forbidden', 4501], ['too_many_connections', 4008], ['store_unavailable', 4004]]) {
    const { join, place, sockets } = sharing();
    const [a, b] = [join('a'), join('b')];
    sockets[0].open();
    place('b');
    sockets[0].say({ type: 'ERROR', id: sockets[0].sent[0].id, session_id: 'a', payload: { code } });
    assert.deepEqual([a.told, b.told, sockets[0].readyState], [[close], ['opened'], 1]);
  }
});

test('a session that goes ends; a refused command does not end it', () => {
  const { join, place, sockets } = sharing();
  const a = join('a');
  sockets[0].open();
  place('a');
  sockets[0].say({ type: 'ERROR', id: 'of a command', session_id: 'a', payload: { code: 'session_not_found' } });
  assert.deepEqual(a.told, ['opened', 'ERROR']);
  sockets[0].say({ type: 'ERROR', session_id: 'a', payload: { code: 'session_not_found' } });
  assert.deepEqual(a.told, ['opened', 'ERROR', 4502]);
});

test('who leaves is unsubscribed, and the socket closes with the last', async () => {
  const { join, place, sockets } = sharing();
  const [a, b] = [join('a'), join('b')];
  sockets[0].open();
  place('a');
  a.close();
  a.close();
  sockets[0].say({ type: 'STATE_UPDATE', session_id: 'a' });
  await settle();
  assert.deepEqual([types(sockets[0]).at(-1), types(sockets[0]).length, sockets[0].readyState, a.told], ['UNSUBSCRIBE a', 3, 1, ['opened']]);
  b.close();
  await settle();
  assert.equal(sockets[0].readyState, 3);
  join('a');
  assert.equal(sockets.length, 2);
});

test('who leaves and comes back at once finds the socket open, and hears nothing of before', async () => {
  const { join, place, sockets } = sharing();
  const before = join('a');
  sockets[0].open();
  place('a');
  before.close();
  const a = join('a', { last: '9-4' });
  await settle();
  sockets[0].say({ type: 'STATE_UPDATE', session_id: 'a' });
  assert.deepEqual(a.told, []);
  place('a');
  assert.deepEqual([a.told, sockets.length, types(sockets[0])], [['opened'], 1, ['SUBSCRIBE a', 'UNSUBSCRIBE a', 'SUBSCRIBE a 9-4']]);
});

test('its end is the end of every session, and the next joins a new one', () => {
  const { join, place, sockets } = sharing();
  const [a, b] = [join('a'), join('b')];
  sockets[0].open();
  place('a');
  sockets[0].end(1012);
  assert.deepEqual([a.told, b.told], [['opened', 1012], [1012]]);
  join('a');
  assert.equal(sockets.length, 2);
});

test('nobody joins a socket on which nothing was heard', () => {
  const { join, place, sockets } = sharing();
  const [a, b] = [join('a'), join('b')];
  sockets[0].open();
  place('b');
  a.close(true);
  join('a');
  assert.equal(sockets.length, 2);
  sockets[0].say({ type: 'HEARTBEAT' });
  assert.deepEqual(b.told, ['opened', 'HEARTBEAT'], 'those who are there may still hear');
});

test('a new token is sent once for all sessions, also while it opens', () => {
  const { join, sockets } = sharing();
  const [a, b] = [join('a'), join('b')];
  a.renew('t2');
  sockets[0].open();
  b.renew('t2');
  assert.deepEqual(sockets[0].sent.filter(({ type }) => type === 'AUTH'), [{ type: 'AUTH', token: 't2' }]);
  b.renew('t3');
  assert.equal(sockets[0].sent.at(-1).token, 't3');
});

test('a socket takes as many sessions as the server does', () => {
  const { join, sockets } = sharing();
  for (let count = 0; count < 1001; count += 1) join(`s${count}`);
  assert.equal(sockets.length, 2);
});
