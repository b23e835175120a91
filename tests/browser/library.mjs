/**
 * The client library in real windows: it wakes, falls back, returns and keeps up.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node library.mjs
 *
 * It starts servers of its own, for it also ends them.
 */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { FaultyProxy } from '../service/faulty-proxy.mjs';
import { Flood } from '../service/flood.mjs';
import { JitteryProxy } from '../service/jittery-proxy.mjs';
import { Server, until } from '../service/server.mjs';
import { WITHIN_MS } from './agreement.mjs';
import { apartMs, clientIn as openClient, follow, nothingMissed, told, usesTransport, versionIs, versionOf } from './library-windows.mjs';
import { SECRET, signed } from './tokens.mjs';
import { Windows } from './windows.mjs';

const AN_HOUR_APART_MS = 1_800_000;
const RIGHT_WITHIN_MS = 1000;
const FALLBACK_WITHIN_MS = 10_000;
const RETURNS_WITHIN_MS = 40_000;
const FROZEN_MS = 12_000;
const TOKEN_LIFE_MS = 12_000;
const LOAD_MS = 60_000;
const TRACED_MS = 10_000;
const FRAME_MS = 16;

const windows = await Windows.open();
/** @type {Server[]} */
const servers = [];

after(async () => {
  await windows.close();
  await Promise.all(servers.map((server) => server.end()));
});

const clientIn = (base, { from = windows, ...more } = {}) => openClient(from, base, more);

async function startedServer(set) {
  const server = await Server.start(undefined, set);
  servers.push(server);
  return server;
}

/** The processes that run the pages of a browser: to stop them is what a device does that sleeps. */
async function renderersOf(browser) {
  const devtools = await browser.newBrowserCDPSession();
  const { processInfo } = await devtools.send('SystemInfo.getProcessInfo');
  return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
}

async function isKept(server, id, version) {
  const { changes } = await server.ask('GET', `/v1/sessions/${id}/history`);
  return changes.some((change) => change.version === version);
}

describe('faults', { concurrency: 3 }, () => {
  test('a frozen page that wakes is right within a second', async () => {
    const server = await startedServer();
    const id = await server.createBlitz();
    await server.command(id, 'start');
    const alone = await Windows.open();
    const page = await clientIn(server.base, { from: alone });
    await follow(page, id);
    await page.evaluate(() => { window.ticks = 0; setInterval(() => (window.ticks += 1), 100); });
    const renderers = await renderersOf(alone.browser);
    const beganMs = performance.now();
    renderers.forEach((pid) => process.kill(pid, 'SIGSTOP'));
    await server.command(id, 'switch');
    await until('the page has been frozen for a while', () => performance.now() - beganMs > FROZEN_MS, FROZEN_MS + 5000);
    const version = versionOf(await server.command(id, 'switch'));
    renderers.forEach((pid) => process.kill(pid, 'SIGCONT'));
    const wokeMs = performance.now();
    await versionIs(page, id, version, RIGHT_WITHIN_MS * 5);
    const tookMs = performance.now() - wokeMs;
    const ticks = await page.evaluate(() => window.ticks);
    assert.ok(ticks < FROZEN_MS / 200, `it was frozen: ${ticks} ticks`);
    assert.ok(tookMs <= RIGHT_WITHIN_MS, `right after ${Math.round(tookMs)} ms`);
    const [shown, trueMs] = await page.evaluate(() => [window.client.getServerTime(), window.trueNow()]);
    assert.ok(Math.abs(shown - trueMs) <= WITHIN_MS, `${shown - trueMs} ms wrong`);
    await page.waitForFunction((one) => window.client.state(one) === 'live', id);
    assert.deepEqual(await told(page, 'error'), []);
    assert.equal(await page.evaluate((one) => window.client.transport(one), id), 'websocket');
    await nothingMissed(page, id);
    await alone.close();
  });

  test('each transport swallowed in turn: another within ten seconds, nothing lost or repeated, and back later', async () => {
    const server = await startedServer();
    const [id, other] = [await server.createBlitz(), await server.createBlitz()];
    const proxy = await FaultyProxy.before(server.port);
    const page = await clientIn(proxy.base);
    await follow(page, id, other);
    await server.command(id, 'start');
    for (const [blocked, way, next] of [['websocket', 'swallow', 'sse'], ['sse', 'hold', 'poll']]) {
      proxy.disturb(blocked, way);
      await server.command(id, 'switch');
      await Promise.all([id, other].map((one) => usesTransport(page, one, next, FALLBACK_WITHIN_MS)));
      await versionIs(page, id, versionOf(await server.command(id, 'switch')), 5000);
    }
    proxy.letThrough();
    await Promise.all([id, other].map((one) => usesTransport(page, one, 'websocket', RETURNS_WITHIN_MS)));
    await versionIs(page, id, versionOf(await server.command(id, 'switch')), 5000);
    await nothingMissed(page, id);
    await page.evaluate(() => window.client.disconnect());
    await page.context().close();
    await proxy.close();
  });

  test('many sessions where no WebSocket is let through: all are followed, and commands get through', async () => {
    const server = await startedServer();
    const proxy = await FaultyProxy.before(server.port);
    proxy.disturb('websocket', 'refuse');
    // More than the connections that a browser has to a host.
    const ids = await Promise.all(Array.from({ length: 8 }, () => server.createBlitz()));
    const page = await clientIn(proxy.base);
    await follow(page, ...ids);
    for (const id of ids) {
      const { version } = await page.evaluate((one) => window.client.startSession(one), id);
      await versionIs(page, id, version, FALLBACK_WITHIN_MS);
    }
    assert.equal(await page.evaluate((all) => all.filter((id) => window.client.transport(id) === 'sse').length, ids), 3);
    await page.context().close();
    await proxy.close();
  });

  test('a server that is killed and replaced: the client returns by itself, and commands go on', async () => {
    const server = await startedServer();
    const ids = [await server.createBlitz(), await server.createBlitz()];
    await server.command(ids[0], 'start');
    const page = await clientIn(server.base);
    await follow(page, ...ids);
    // An acknowledged command may be lost within 20 ms of a crash; this one is older.
    const version = versionOf(await server.command(ids[0], 'switch'));
    await versionIs(page, ids[0], version, 5000);
    await until('the switch is in the ledger', () => isKept(server, ids[0], version));
    await server.stop('SIGKILL');
    await page.waitForFunction((all) => all.every((id) => window.client.state(id) === 'away'), ids);
    await server.begin();
    await page.waitForFunction((all) => all.every((id) => window.client.state(id) === 'live'), ids);
    const answer = await page.evaluate((id) => window.client.pauseSession(id).catch((error) => ({ code: error.code })), ids[0]);
    assert.ok(answer.status === 'paused' || answer.code === 'not_running', JSON.stringify(answer).slice(0, 200));
    await nothingMissed(page, ids[0]);
    const disconnected = await told(page, 'disconnected');
    assert.deepEqual(new Set(disconnected.map(({ sessionId }) => sessionId)), new Set(ids));
    assert.equal((await told(page, 'connected')).length, 4);
    await page.context().close();
  });

  test('a token that ends is renewed on each transport, and the stream goes on', async () => {
    const server = await startedServer({ env: { JWT_SECRET: SECRET }, token: signed({ role: 'operator' }) });
    const id = await server.createBlitz();
    const pages = await Promise.all(['websocket', 'sse', 'poll'].map((transport) => {
      const tokens = [signed({ role: 'operator', lifeMs: TOKEN_LIFE_MS }), signed({ role: 'operator' })];
      return clientIn(server.base, { tokens, options: { transport } });
    }));
    const beganMs = performance.now();
    for (const page of pages) await follow(page, id);
    await until('the first tokens have ended', () => performance.now() - beganMs > TOKEN_LIFE_MS + 1000, TOKEN_LIFE_MS + 10_000);
    const version = versionOf(await server.command(id, 'adjust', { participant_id: 'p1', add_ms: 1000 }));
    for (const page of pages) {
      await versionIs(page, id, version, 5000);
      const [transport, failed, lost] = [await page.evaluate((one) => window.client.transport(one), id), await told(page, 'error'), await told(page, 'disconnected')];
      assert.deepEqual([failed, lost], [[], []], transport);
      await nothingMissed(page, id);
      await page.context().close();
    }
  });

  test('a clock that runs out says so once, at its instant, also where messages are held back', async () => {
    const server = await startedServer();
    const id = await server.createBlitz({ total_time_ms: 6000, increment_ms: 0, warnings_ms: [4000] });
    const proxy = await FaultyProxy.before(server.port);
    const page = await clientIn(proxy.base);
    await follow(page, id);
    await versionIs(page, id, versionOf(await server.command(id, 'start')), 5000);
    // Cues are given by cluster time, so that must be known before messages are held back.
    await page.waitForFunction(() => window.client.clock.hasSample);
    await page.evaluate((one) => {
      window.client.on('timeExpired', ({ expired_at: at }) => (window.lateMs = window.trueNow() - Date.parse(at)));
      // A plain timer for the same instant: what the machine is late by, without the library.
      const deadlineMs = Date.parse(window.client.session(one).deadline_at);
      setTimeout(() => (window.plainLateMs = window.trueNow() - deadlineMs), deadlineMs - window.trueNow());
    }, id);
    proxy.disturb('websocket', 'swallow');
    await page.waitForFunction(() => window.lateMs !== undefined && window.plainLateMs !== undefined);
    const [lateMs, plainLateMs] = await page.evaluate(() => [window.lateMs, window.plainLateMs]);
    assert.ok(lateMs >= -WITHIN_MS, `${-lateMs} ms before its instant`);
    assert.ok(lateMs - Math.max(plainLateMs, 0) <= WITHIN_MS, `${lateMs} ms after its instant, a plain timer ${plainLateMs} ms`);
    proxy.letThrough();
    await page.waitForFunction((one) => window.client.session(one).status === 'expired', id, { timeout: RETURNS_WITHIN_MS });
    const [warnings, expiries] = [await told(page, 'timeWarning'), await told(page, 'timeExpired')];
    assert.deepEqual([warnings.map((one) => one.remaining_ms), expiries.length, expiries[0].participant_id], [[4000], 1, 'p1']);
    await page.context().close();
    await proxy.close();
  });
});

test('two windows, one behind a slow and uneven network, device clocks an hour apart, agree', async () => {
  const server = await startedServer();
  const id = await server.createBlitz();
  await server.command(id, 'start');
  const proxy = await JitteryProxy.before(server.port, { leastMs: 20, mostMs: 90 });
  const pages = [
    await clientIn(server.base, { clockAheadMs: AN_HOUR_APART_MS }),
    await clientIn(proxy.base, { clockAheadMs: -AN_HOUR_APART_MS }),
  ];
  const devtools = await pages[1].context().newCDPSession(pages[1]);
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 });
  for (const page of pages) {
    await follow(page, id);
    await page.waitForFunction(() => window.client.clock.isSettled);
  }
  const apart = [];
  for (let times = 0; times < 20; times += 1) {
    if (times % 5 === 4) await server.command(id, 'switch');
    const { version } = await server.ask('GET', `/v1/sessions/${id}`);
    await Promise.all(pages.map((page) => versionIs(page, id, version, 5000)));
    apart.push(await apartMs(pages, id));
  }
  assert.ok(Math.max(...apart) <= WITHIN_MS, `${apart.map((ms) => ms.toFixed(1)).join(', ')} ms apart`);
  await Promise.all(pages.map((page) => page.context().close()));
  await proxy.close();
});

test('a thousand updates a second: frames stay short, and memory stays level', async () => {
  const server = await startedServer();
  const id = await server.createBlitz();
  await server.command(id, 'start');
  const flood = await Flood.start({ snapshot: await server.ask('GET', `/v1/sessions/${id}`), perSecond: 1000 });
  const page = await clientIn(flood.base);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable');
  await page.evaluate(followAndPaint, ['s1', 's2', 's3', 's4', 's5']);
  const heap = async () => {
    await devtools.send('HeapProfiler.collectGarbage');
    const { metrics } = await devtools.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'JSHeapUsedSize').value / 1e6;
  };
  const beganMs = performance.now();
  const passed = (ms) => until(`${ms} ms have passed`, () => performance.now() - beganMs > ms, ms + 5000);
  const frames = await framesOf(page, () => passed(TRACED_MS));
  const before = await heap();
  await passed(TRACED_MS + LOAD_MS);
  const [grown, updates] = [(await heap()) - before, await page.evaluate(() => window.updates)];
  const rate = updates / ((performance.now() - beganMs) / 1000);
  const p95 = frames.sort((a, b) => a - b)[Math.floor(frames.length * 0.95)];
  console.log(`# ${Math.round(rate)} updates a second, ${frames.length} frames, p95 ${p95.toFixed(1)} ms, memory ${before.toFixed(1)} MB and ${grown.toFixed(2)} MB more`);
  assert.ok(rate > 900, `${rate} updates a second`);
  assert.ok(frames.length > 50 && p95 < FRAME_MS, `${frames.length} frames, p95 ${p95} ms`);
  assert.ok(grown < 1, `memory grew by ${grown} MB`);
  await page.evaluate(() => window.client.disconnect());
  await page.context().close();
  await flood.stop();
});

function followAndPaint(ids) {
  window.updates = 0;
  for (const id of ids) window.client.connect(id, () => (window.updates += 1));
  const clock = document.body.appendChild(document.createElement('p'));
  const paint = () => {
    clock.textContent = ids.map((id) => window.client.remaining('p1', id)).join(' ');
    requestAnimationFrame(paint);
  };
  requestAnimationFrame(paint);
}

/**
 * How long the page's thread worked for each frame: the messages since the frame before, and the frame itself. By the
 * processor's time, so that it is the same on a busy machine.
 */
async function framesOf(page, during) {
  const browser = page.context().browser();
  await browser.startTracing(page, { categories: ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline'] });
  await during();
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  const painted = traceEvents.filter(({ name }) => name === 'FireAnimationFrame').sort((a, b) => a.ts - b.ts);
  const { pid, tid } = painted[0];
  const tasks = traceEvents.filter((event) => event.name === 'RunTask' && event.pid === pid && event.tid === tid && event.tdur !== undefined);
  assert.ok(tasks.length > painted.length, `${tasks.length} tasks of ${painted.length} frames`);
  const ends = painted.map((frame) => tasks.find((task) => task.ts <= frame.ts && task.ts + task.dur >= frame.ts)).filter(Boolean).map((task) => task.ts);
  return ends.slice(1).map((end, at) => tasks.filter((task) => task.ts > ends[at] && task.ts <= end).reduce((sum, task) => sum + task.tdur, 0) / 1000);
}
