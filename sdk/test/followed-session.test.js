import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { DrawnTime } from '../drawn-time.js';
import { FollowedSession, NOTHING } from '../followed-session.js';
import { commandsOf } from '../session-commands.js';
import { SyncKairosError } from '../problem.js';

const SESSION = { session_id: 's', epoch: 1, version: 1, sync_mode: 'global', status: 'pending', total_time_ms: 1000, participants: [], groups: [], edges: [] };

/** A client that counts who listens, and answers as it is told. */
class FakeClient {
  listeners = new Map();
  followers = new Set();
  clock = { hasSample: true };
  current = { session: null, state: 'connecting', ended: null };
  answers = [];
  given = [];

  on(name, listener) {
    const key = { name, listener };
    this.listeners.set(key, listener);
    return () => this.listeners.delete(key);
  }

  connect(_id, onUpdate) {
    this.followers.add(onUpdate);
    return () => this.followers.delete(onUpdate);
  }

  emit(name, payload) {
    for (const [key, listener] of [...this.listeners]) if (key.name === name) listener(payload);
  }

  get held() {
    return this.listeners.size + this.followers.size;
  }

  session = () => this.current.session;
  state = () => this.current.state;
  ended = () => this.current.ended;
  getServerTime = () => 1000;
  syncServerTime = async () => {};
  switchCycle = (...args) => this.#answer(args);
  pauseSession = (...args) => this.#answer(args);

  async #answer(args) {
    this.given.push(args);
    const answer = this.answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  }
}

/** Runs with timers that the test turns. */
function withTimers(run) {
  return async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      await run((ms = 16) => mock.timers.tick(ms));
    } finally {
      mock.timers.reset();
    }
  };
}

test('a component that comes and goes leaves no listener and no follower', withTimers((pass) => {
  const client = new FakeClient();
  const followed = new FollowedSession(client, 's');
  let drawn = 0;
  for (let times = 0; times < 3; times += 1) {
    const stop = followed.subscribe(() => (drawn += 1));
    assert.ok(client.held > 5);
    stop();
    assert.equal(client.held, 0);
  }
  client.current.session = SESSION;
  followed.fail(new Error('late'));
  pass(100);
  assert.equal(drawn, 0, 'nobody is there to draw for');
}));

test('what changes within a frame is drawn once, and what does not change is not drawn', withTimers((pass) => {
  const client = new FakeClient();
  const followed = new FollowedSession(client, 's');
  let drawn = 0;
  followed.subscribe(() => (drawn += 1));
  pass();
  assert.equal(drawn, 0);
  client.current = { session: SESSION, state: 'live', ended: null };
  client.emit('connected', { sessionId: 's' });
  for (const update of client.followers) update(SESSION);
  pass();
  assert.equal(drawn, 1);
  assert.deepEqual(followed.view, { session: SESSION, isConnected: true, error: null });
  client.emit('fresh', { sessionId: 's' });
  pass();
  assert.equal(drawn, 1);
}));

test('an error stands until the session is connected again, and those of others do not count', withTimers((pass) => {
  const client = new FakeClient();
  const followed = new FollowedSession(client, 's');
  followed.subscribe(() => {});
  client.emit('error', { sessionId: 'other', error: new Error('theirs') });
  client.emit('connectionFailed', { sessionId: 'other', attempts: 10 });
  pass();
  assert.equal(followed.view.error, null);
  client.emit('error', { error: new Error('of the token') });
  pass();
  assert.equal(followed.view.error.message, 'of the token');
  client.emit('connectionFailed', { sessionId: 's', attempts: 10 });
  pass();
  assert.equal(followed.view.error.code, 'unreachable');
  client.emit('connected', { sessionId: 's' });
  pass();
  assert.equal(followed.view.error, null);
}));

for (const [code, expected] of [[4500, 'unauthenticated'], [4501, 'forbidden'], [4502, 'session_not_found'], [4503, 'session_deleted']]) {
  test(`a stream that ends with ${code} is the error ${expected}`, withTimers((pass) => {
    const client = new FakeClient();
    const followed = new FollowedSession(client, 's');
    followed.subscribe(() => {});
    client.current.ended = { code, reason: 'a reason' };
    client.emit('connectionFailed', { sessionId: 's', attempts: 0 });
    pass();
    const { error } = followed.view;
    assert.deepEqual([error.code, error.message], [expected, 'a reason']);
    client.emit('disconnected', { sessionId: 's', code, reason: 'a reason' });
    pass();
    assert.equal(followed.view.error, error, 'the same one, so that nothing is drawn again');
  }));
}

test('without a client or a session there is nothing to follow', () => {
  for (const followed of [new FollowedSession(null, 's'), new FollowedSession(new FakeClient(), null)]) {
    assert.equal(followed.view, NOTHING);
    followed.subscribe(() => assert.fail('nothing changes'))();
  }
});

test('a command fills in the participant, takes an event for nothing, and tells a refusal', withTimers(async (pass) => {
  const client = new FakeClient();
  client.current.session = { ...SESSION, concurrency: 'simultaneous' };
  const followed = new FollowedSession(client, 's');
  followed.subscribe(() => {});
  const { switchCycle, pauseSession } = commandsOf(followed, 'p');
  const refusal = new SyncKairosError({ code: 'not_active', status: 409 });
  client.answers = [{ version: 2 }, refusal, { version: 3 }];
  assert.deepEqual(await switchCycle({ nativeEvent: {} }), { version: 2 });
  assert.equal(await switchCycle({ current_participant_id: 'q' }), null);
  pass();
  assert.equal(followed.view.error, refusal);
  await pauseSession({ reason: 'tea' });
  pass();
  assert.equal(followed.view.error, null);
  assert.deepEqual(client.given, [
    ['s', { current_participant_id: 'p' }],
    ['s', { current_participant_id: 'q' }],
    ['s', { participant_id: 'p', reason: 'tea' }],
  ]);
}));

test('the drawn time goes on with its steps, and stops', withTimers((pass) => {
  const client = new FakeClient();
  let now = 10_000;
  client.getServerTime = () => now;
  let drawn = 0;
  const time = new DrawnTime(client, 1000);
  const stop = time.subscribe(() => (drawn += 1));
  pass();
  assert.equal(drawn, 1);
  now = 11_000;
  pass(1000);
  pass();
  assert.deepEqual([drawn, time.ms], [2, 11_000]);
  stop();
  pass(10_000);
  assert.equal(drawn, 2);
}));
