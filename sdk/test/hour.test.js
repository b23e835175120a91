/** An hour of reconnecting, in virtual time: what is left behind is counted. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyncKairosClient } from '../client.js';
import { sharedSockets } from '../shared-socket.js';
import { token } from './client-fakes.js';
import { FakeTimers, settle } from './fakes.js';

const HOUR_MS = 3_600_000;
const STEP_MS = 500;

/** Sockets that open now and then, and are lost after a while; each counts its listeners. */
class FlakySocket extends EventTarget {
  static all = [];
  static open = 0;
  readyState = 0;
  listeners = 0;
  ageMs = 0;

  constructor() {
    super();
    FlakySocket.all.push(this);
    FlakySocket.open += 1;
    this.fate = FlakySocket.all.length % 4;
  }

  addEventListener(...args) {
    this.listeners += 1;
    super.addEventListener(...args);
  }

  removeEventListener(...args) {
    this.listeners -= 1;
    super.removeEventListener(...args);
  }

  send(text) {
    const { type, id, session_id } = JSON.parse(text);
    if (type === 'SUBSCRIBE') queueMicrotask(() => this.say({ type: 'ACK', id, session_id, payload: {} }, { type: 'HEARTBEAT', payload: {} }));
  }

  say(...frames) {
    for (const frame of frames) this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify(frame) }));
  }

  close() {
    if (this.readyState !== 3) FlakySocket.open -= 1;
    this.readyState = 3;
  }

  /** Fate 0 never opens, 1 is refused, 2 falls silent, 3 lives for 20 s. */
  pass(ms) {
    this.ageMs += ms;
    if (this.readyState === 0 && this.fate >= 2) this.#opened();
    else if (this.fate === 1) this.#end(1006);
    else if (this.fate === 3 && this.ageMs > 20_000) this.#end(1012);
    else if (this.fate === 3 && this.ageMs % 3000 < ms) this.say({ type: 'HEARTBEAT', payload: {} });
  }

  #opened() {
    this.readyState = 1;
    this.dispatchEvent(new Event('open'));
  }

  #end(code) {
    this.close();
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason: '' }));
  }
}

test('an hour of reconnecting leaves no timer, no socket and no listener behind', async () => {
  const timers = new FakeTimers();
  const fetch = async () => { throw new TypeError('away'); };
  let tokens = 0;
  const ask = async () => token(Date.now() + HOUR_MS, `${(tokens += 1)}`);
  const transports = { websocket: sharedSockets(FlakySocket) };
  const client = new SyncKairosClient('http://x', { transports, fetch, timers, token: ask, random: () => 0.5 });
  const ids = ['a', 'b', 'c'];
  const counts = { connected: 0, disconnected: 0 };
  for (const name of Object.keys(counts)) client.on(name, () => (counts[name] += 1));
  for (const id of ids) client.connect(id);
  let [mostTimers, mostSockets] = [0, 0];
  for (let passed = 0; passed < HOUR_MS; passed += STEP_MS) {
    await settle();
    timers.pass(STEP_MS);
    for (const socket of FlakySocket.all.slice(-4)) if (socket.readyState !== 3) socket.pass(STEP_MS);
    mostTimers = Math.max(mostTimers, timers.waiting);
    mostSockets = Math.max(mostSockets, FlakySocket.open);
  }
  assert.ok(counts.connected > 100 && FlakySocket.all.length > 200, JSON.stringify([counts, FlakySocket.all.length]));
  assert.ok(mostTimers <= 20 && mostSockets <= 2, `${mostTimers} timers, ${mostSockets} sockets at once`);
  client.disconnect();
  await settle();
  assert.deepEqual([timers.waiting, FlakySocket.open], [0, 0]);
  assert.equal(FlakySocket.all.reduce((sum, socket) => sum + socket.listeners, 0), 0);
});
