import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverSentEvents } from '../sse.js';

class FakeSource extends EventTarget {
  static made = [];
  isClosed = false;

  constructor(url) {
    super();
    this.url = url;
    FakeSource.made.push(this);
  }

  close() {
    this.isClosed = true;
  }

  say(type, data) {
    this.dispatchEvent(Object.assign(new Event(type), { data: typeof data === 'string' ? data : JSON.stringify(data) }));
  }
}

function opened() {
  const told = [];
  const listener = {
    opened: () => told.push('opened'),
    frame: (frame) => told.push(frame),
    closed: (code, reason) => told.push([code, reason]),
  };
  const address = { base: 'https://x.test', sessionId: 'a:b', last: '9-3', heartbeatMs: 3000, token: 't' };
  const stream = serverSentEvents(FakeSource)(address, listener);
  return { told, stream, source: FakeSource.made.at(-1) };
}

test('it requests the session from its position, with its token in the address', () => {
  const { source, stream } = opened();
  assert.equal(source.url, 'https://x.test/v1/sessions/a%3Ab/events?heartbeat_ms=3000&last=9-3&token=t');
  assert.equal(stream.send, null);
});

test('it delivers valid frames, and skips others', () => {
  const { source, told } = opened();
  source.say('open');
  const frames = ['STATE_SYNC', 'STATE_UPDATE', 'TIME_EXPIRED', 'TIME_WARNING', 'SESSION_DELETED', 'HEARTBEAT'].map((type) => ({ type }));
  for (const frame of frames) source.say(frame.type, frame);
  source.say('STATE_UPDATE', '{"type":"STATE_');
  assert.deepEqual(told, ['opened', ...frames]);
});

test('it closes once, with the server’s code, and does not reconnect by itself', () => {
  const { source, told } = opened();
  source.say('CLOSE', { code: 4503, reason: 'session deleted' });
  source.say('error');
  source.say('HEARTBEAT', { type: 'HEARTBEAT' });
  assert.deepEqual(told, [[4503, 'session deleted']]);
  assert.ok(source.isClosed);
});

test('an end without a code is a network error', () => {
  const { source, told } = opened();
  source.say('error');
  assert.deepEqual([told, source.isClosed], [[[1006, '']], true]);
});

test('after close no call follows', () => {
  const { source, stream, told } = opened();
  stream.close();
  source.say('open');
  source.say('HEARTBEAT', { type: 'HEARTBEAT' });
  source.say('error');
  assert.deepEqual([told, source.isClosed], [[], true]);
});
