import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventReader } from '../event-stream.js';
import { serverSentEvents } from '../sse.js';
import { settle } from './fakes.js';

const STREAM = { status: 200, headers: { 'content-type': 'text/event-stream' } };

/** A server that answers when the test says so, and a listener that notes what it is told. */
function opened() {
  const [asked, told] = [[], []];
  const fetch = (url, init) => new Promise((resolve, reject) => {
    const text = new TransformStream();
    const writer = text.writable.getWriter();
    const one = { url, ...init, reject };
    one.answer = (options = STREAM, body = text.readable) => (resolve(new Response(body, options)), settle());
    one.bytes = (bytes) => (writer.write(bytes), settle());
    one.say = (...texts) => one.bytes(new TextEncoder().encode(texts.join('')));
    one.end = () => (writer.close(), settle());
    init.signal.addEventListener('abort', () => (reject(new Error('aborted')), writer.abort().catch(() => {})));
    asked.push(one);
  });
  const listener = {
    opened: () => told.push('opened'),
    frame: (frame) => told.push(frame),
    closed: (code, reason) => told.push([code, reason]),
  };
  const address = { base: 'https://x.test', sessionId: 'a:b', last: '9-3', heartbeatMs: 3000, token: 't' };
  const stream = serverSentEvents({ fetch })(address, listener);
  return { told, stream, asked };
}

const event = (type, data, id) => `event: ${type}\n${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`;

test('it asks for the session from its position, with its token in a header and in no address', () => {
  const { asked, stream } = opened();
  assert.equal(asked[0].url, 'https://x.test/v1/sessions/a%3Ab/events?heartbeat_ms=3000&last=9-3');
  assert.equal(asked[0].headers.Authorization, 'Bearer t');
  assert.equal(stream.send, null);
});

test('it delivers frames in whatever pieces they come, and tells of those that are none', async () => {
  const { asked, told } = opened();
  await asked[0].answer();
  const frames = ['STATE_SYNC', 'STATE_UPDATE', 'TIME_EXPIRED', 'HEARTBEAT', 'NEW_ONE'].map((type) => ({ type, payload: { text: 'ä:b' } }));
  const text = `retry: 1500\n\n${frames.map((frame) => event(frame.type, frame)).join('')}: a comment\n\nevent: STATE_UPDATE\ndata: {"type":"STATE_\n\n`;
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += 7) await asked[0].bytes(bytes.subarray(at, at + 7));
  assert.deepEqual(told, ['opened', ...frames, { type: 'UNREADABLE' }]);
});

test('it closes once, with the server’s code', async () => {
  const { asked, told } = opened();
  await asked[0].answer();
  await asked[0].say(event('CLOSE', { code: 4503, reason: 'session deleted' }), event('HEARTBEAT', { type: 'HEARTBEAT' }));
  assert.deepEqual(told, ['opened', [4503, 'session deleted']]);
  assert.ok(asked[0].signal.aborted);
});

test('an end without a code, and no answer at all, are network errors', async () => {
  const cut = opened();
  await cut.asked[0].answer();
  await cut.asked[0].end();
  assert.deepEqual(cut.told, ['opened', [1006, '']]);
  const away = opened();
  away.asked[0].reject(new TypeError('failed'));
  await settle();
  assert.deepEqual(away.told, [[1006, '']]);
});

test('a refusal of the server has its close code, one of a proxy shows that events do not get through', async () => {
  const ours = { 'content-type': 'application/problem+json' };
  for (const [status, headers, code] of [[401, ours, 4500], [429, ours, 4008], [503, ours, 4004], [404, ours, 1006], [401, {}, 1006], [200, {}, 1006]]) {
    const { asked, told } = opened();
    await asked[0].answer({ status, headers }, '{}');
    assert.deepEqual(told.map(([was]) => was), [code], `${status}`);
  }
});

test('after close no call follows', async () => {
  const { asked, stream, told } = opened();
  await asked[0].answer();
  stream.close();
  await settle();
  assert.deepEqual([told, asked[0].signal.aborted], [['opened'], true]);
});

test('a new token goes on from the newest position, without a call of its listener', async () => {
  const { asked, stream, told } = opened();
  await asked[0].answer();
  await asked[0].say(event('STATE_UPDATE', { type: 'STATE_UPDATE', position: '9-4' }, '9-4'));
  stream.renew('t2');
  await asked[1].answer();
  await asked[1].say(event('HEARTBEAT', { type: 'HEARTBEAT' }));
  assert.equal(asked[1].headers.Authorization, 'Bearer t2');
  assert.match(asked[1].url, /last=9-4$/);
  assert.ok(asked[0].signal.aborted);
  assert.deepEqual(told, ['opened', { type: 'STATE_UPDATE', position: '9-4' }, { type: 'HEARTBEAT' }]);
});

test('lines may end in any way, and data may have several', () => {
  const reader = new EventReader();
  assert.deepEqual(reader.take('event: A\r\ndata:1\r\ndata: 2\r\n\r'), []);
  assert.deepEqual(reader.take('\nid: 7\rdata: x\r\r'), [{ type: 'A', data: '1\n2', id: null }, { type: 'message', data: 'x', id: '7' }]);
});
