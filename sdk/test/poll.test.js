import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longPolls } from '../poll.js';
import { FakeTimers, settle } from './fakes.js';

const snapshot = (version) => ({ session_id: 's', epoch: 9, version });
const update = (version) => ({ type: 'STATE_UPDATE', position: `9-${version}`, payload: snapshot(version) });
const answer = (version, events = [], more = {}) => ({
  position: `9-${version}`, timed_out: false, events, session: snapshot(version), next_poll_ms: 0, ...more,
});

/** A server that answers when the test says so. */
function polling(last = null) {
  const [asked, told, timers] = [[], [], new FakeTimers()];
  const fetch = (url, init) => new Promise((resolve, reject) => {
    const { pathname, searchParams } = new URL(url);
    asked.push({ pathname, ...Object.fromEntries(searchParams), headers: init.headers, reject, signal: init.signal });
    asked.at(-1).answer = (body, status = 200) => {
      resolve(new Response(typeof body === 'string' ? body : JSON.stringify(body), { status }));
      return settle().then(settle);
    };
    init.signal.addEventListener('abort', () => reject(new Error('aborted')));
  });
  const listener = {
    opened: () => told.push('opened'),
    frame: (frame) => told.push(`${frame.type} ${frame.position}`),
    closed: (code) => told.push(code),
  };
  const address = { base: 'https://x.test', sessionId: 's', last, heartbeatMs: 3000, token: 't' };
  const stream = longPolls({ fetch, timers })(address, listener);
  return { asked, told, timers, stream };
}

test('the first poll returns the newest state at once; each later one continues from it', async () => {
  const { asked, told, stream } = polling();
  assert.deepEqual([asked[0].pathname, asked[0].since, asked[0].timeout_ms], ['/v1/sessions/s/poll', undefined, '1000']);
  assert.equal(asked[0].headers.Authorization, 'Bearer t');
  await asked[0].answer(answer(3));
  assert.deepEqual([asked[1].since, asked[1].timeout_ms], ['9-3', '3000']);
  await asked[1].answer(answer(5, [update(4), update(5)]));
  assert.equal(asked[2].since, '9-5');
  assert.deepEqual(told, ['opened', 'STATE_SYNC 9-3', 'STATE_UPDATE 9-4', 'STATE_UPDATE 9-5', 'HEARTBEAT 9-5']);
  assert.equal(stream.send, null);
});

test('an answer without news is a heartbeat', async () => {
  const { asked, told, timers } = polling('9-3');
  timers.now += 1000;
  await asked[0].answer(answer(3, [], { timed_out: true }));
  assert.deepEqual([told, asked.length], [['opened', 'HEARTBEAT 9-3'], 2]);
});

test('a gap is one whole state', async () => {
  const { asked, told } = polling('9-3');
  await asked[0].answer(answer(300));
  assert.deepEqual(told, ['opened', 'STATE_SYNC 9-300']);
  await asked[1].answer(answer(900, [update(301)]));
  assert.deepEqual(told.slice(2), ['STATE_UPDATE 9-301', 'STATE_SYNC 9-900']);
});

test('it waits as long as the answer says', async () => {
  const { asked, timers } = polling('9-3');
  await asked[0].answer(answer(4, [update(4)], { next_poll_ms: 700 }));
  timers.pass(699);
  await settle();
  assert.equal(asked.length, 1);
  timers.pass(1);
  await settle();
  assert.equal(asked.length, 2);
});

test('a cache that always answers the same is polled slowly', async () => {
  const { asked, timers } = polling('9-3');
  await asked[0].answer(answer(3));
  assert.equal(asked.length, 1);
  timers.pass(1000);
  await settle();
  assert.equal(asked.length, 2);
});

test('a refusal maps to its close code', async () => {
  for (const [status, code] of [[401, 4500], [403, 4501], [404, 4502], [429, 4008], [500, 4004], [503, 4004]]) {
    const { asked, told } = polling();
    await asked[0].answer({}, status);
    assert.deepEqual([told, asked.length], [[code], 1]);
  }
});

test('a missing or unreadable answer is a network error', async () => {
  const { asked, told } = polling();
  asked[0].reject(new TypeError('failed'));
  await settle();
  assert.deepEqual(told, [1006]);
  const other = polling();
  await other.asked[0].answer('<h1>Please log in</h1>');
  assert.deepEqual(other.told, [1006]);
});

test('close aborts its request, and no call follows', async () => {
  const { asked, told, stream } = polling();
  stream.close();
  await settle();
  assert.deepEqual([asked[0].signal.aborted, told, asked.length], [true, [], 1]);
});

test('a close amid an answer stops its delivery', async () => {
  const told = [];
  const fetch = async () => new Response(JSON.stringify(answer(6, [update(5), update(6)])));
  const listener = { opened: () => {}, closed: () => {}, frame: (frame) => told.push(frame.position) && stream.close() };
  const address = { base: 'https://x.test', sessionId: 's', last: '9-4', heartbeatMs: 3000, token: null };
  const stream = longPolls({ fetch, timers: new FakeTimers() })(address, listener);
  await settle().then(settle);
  assert.deepEqual(told, ['9-5']);
});

test('a request that outlived its token is repeated with the new one', async () => {
  const { asked, told, stream } = polling('9-3');
  stream.renew('t2');
  await asked[0].answer({}, 401);
  assert.equal(asked[1].headers.Authorization, 'Bearer t2');
  await asked[1].answer({}, 401);
  assert.deepEqual(told, [4500]);
});
