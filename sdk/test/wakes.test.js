import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../connection.js';
import { Wakes } from '../wakes.js';
import { sync } from './client-fakes.js';
import { FakeNetwork, FakeTimers, fakeRest, settle } from './fakes.js';

/** Counts its listeners. */
class FakeTarget extends EventTarget {
  count = 0;

  addEventListener(...args) {
    this.count += 1;
    super.addEventListener(...args);
  }

  removeEventListener(...args) {
    this.count -= 1;
    super.removeEventListener(...args);
  }
}

/** A page whose clock goes with the timers, and on while it sleeps. */
function page({ hasPage = true } = {}) {
  const timers = new FakeTimers();
  const [window, document] = [new FakeTarget(), Object.assign(new FakeTarget(), { visibilityState: 'visible' })];
  const w = { timers, window, document, sleptMs: 0 };
  w.wakes = new Wakes({ timers, wallMs: () => timers.now + w.sleptMs, page: hasPage ? { window, document } : {} });
  w.sleep = (ms) => (w.sleptMs += ms);
  return w;
}

const shown = (persisted) => Object.assign(new Event('pageshow'), { persisted });

test('each sign of a wake is told once, with how long the page slept', () => {
  const { wakes, timers, window, document, sleep } = page();
  const told = [];
  wakes.watch((sleptMs) => told.push(sleptMs));
  const signs = [() => window.dispatchEvent(new Event('online')), () => document.dispatchEvent(new Event('visibilitychange')), () => document.dispatchEvent(new Event('resume')), () => window.dispatchEvent(shown(true))];
  for (const sign of signs) {
    timers.pass(1000);
    sign();
  }
  assert.deepEqual(told, [0, 0, 0, 0]);
  sleep(60_000);
  for (const sign of signs) sign();
  assert.equal(told.length, 5);
  assert.ok(told[4] > 54_000, String(told[4]));
});

test('a page that goes, or is loaded, does not wake', () => {
  const { wakes, window, document } = page();
  const told = [];
  wakes.watch(() => told.push('woke'));
  document.visibilityState = 'hidden';
  document.dispatchEvent(new Event('visibilitychange'));
  window.dispatchEvent(shown(false));
  assert.deepEqual(told, []);
});

test('without a page a timer that is late tells a sleep', () => {
  const { wakes, timers, sleep } = page({ hasPage: false });
  const told = [];
  wakes.watch((sleptMs) => told.push(sleptMs));
  timers.pass(60_000);
  assert.deepEqual(told, []);
  sleep(30_000);
  timers.pass(5000);
  assert.deepEqual(told, [30_000]);
  timers.pass(60_000);
  assert.deepEqual(told, [30_000]);
});

test('listeners and timer are there while somebody watches', () => {
  const { wakes, timers, window, document } = page();
  const counts = () => [window.count, document.count, timers.waiting];
  const stops = [wakes.watch(() => {}), wakes.watch(() => {})];
  assert.deepEqual(counts(), [2, 2, 1]);
  stops[0]();
  stops[0]();
  assert.deepEqual(counts(), [2, 2, 1]);
  stops[1]();
  assert.deepEqual(counts(), [0, 0, 0]);
});

/** A live connection whose page may sleep. */
function following({ listens = false, rest = fakeRest() } = {}) {
  const parts = page();
  const network = new FakeNetwork({ listens });
  const { timers, wakes } = parts;
  const connection = new Connection({ base: 'http://x', sessionId: 's', transport: network.transport, timers, wakes, rest, random: () => 0.5 }).open();
  network.last.listener.opened();
  network.last.listener.frame(sync(3));
  return { ...parts, connection, network, rest, wake: () => parts.window.dispatchEvent(new Event('online')) };
}

test('a live stream is probed at a wake, and stays if it answers', () => {
  const { connection, network, timers, wake } = following();
  timers.pass(1000);
  const pings = network.sent('PING').length;
  wake();
  assert.equal(network.sent('PING').length, pings + 1);
  timers.pass(400);
  network.last.listener.frame({ type: 'PONG', payload: {} });
  timers.pass(3000);
  assert.deepEqual([connection.state, network.streams.length], ['live', 1]);
});

test('a stream that does not answer is replaced within a second, over the same transport', () => {
  const { connection, network, timers, wake } = following();
  timers.pass(1000);
  wake();
  timers.pass(800);
  assert.deepEqual([network.streams[0].isClosed, network.streams.length, connection.fallback.objections], [true, 2, {}]);
});

test('a stream that is overdue is replaced at once', () => {
  const { network, timers, wake } = following();
  timers.now += 20_000;
  wake();
  assert.deepEqual([network.streams[0].isClosed, network.streams.length, network.last.address.last], [true, 2, '9-3']);
});

test('while it waits for the next try, a wake tries at once', () => {
  const { connection, network, wake } = following();
  network.last.listener.closed(1006, '');
  assert.equal(connection.state, 'away');
  wake();
  assert.equal(network.streams.length, 2);
});

test('where a stream only receives, the state is read', async () => {
  const rest = fakeRest({ read: async () => ({ ...sync(8).payload }), time: async () => ({ receive_ms: 1, transmit_ms: 1 }) });
  const { connection, wake, timers } = following({ listens: true, rest });
  timers.pass(1000);
  wake();
  await settle();
  assert.equal(connection.session.version, 8);
  connection.close();
});

test('a closed connection listens to no wake', () => {
  const { connection, network, window, document, timers, wake } = following();
  connection.close();
  wake();
  assert.deepEqual([window.count, document.count, timers.waiting, network.streams.length], [0, 0, 0, 1]);
});

test('after a sleep the next exchange corrects at once', () => {
  const { connection, window, timers, sleep } = following();
  const exchange = (ms) => {
    const now = connection.sync.monotonicMs();
    connection.sync.take({ origin_ms: now, receive_ms: now + ms, transmit_ms: now + ms, destination_ms: now });
  };
  for (let times = 0; times < 4; times += 1) exchange(0);
  assert.ok(connection.sync.isSettled);
  timers.pass(1000);
  sleep(60_000);
  window.dispatchEvent(new Event('online'));
  exchange(700);
  assert.ok(Math.abs(connection.sync.offset - 700) < 10, String(connection.sync.offset));
  connection.close();
});
