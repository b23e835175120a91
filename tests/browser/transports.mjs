/**
 * Windows on different transports: they agree, they fall back and return, and a restart of the server costs nothing.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node transports.mjs
 *
 * It starts servers of its own, for it also ends them.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FaultyProxy } from '../service/faulty-proxy.mjs';
import { Nginx } from '../service/nginx.mjs';
import { Server } from '../service/server.mjs';
import { agree, stepped } from './agreement.mjs';
import { Windows, overhang, smallTargets, untilSettled } from './windows.mjs';

const TRANSPORTS = ['websocket', 'sse', 'poll'];
const NAMES = { websocket: 'WebSocket', sse: 'SSE', poll: 'Long-poll' };
const WRONG_BY_MS = 67 * 60_000;
const FALLBACK_WITHIN_MS = 10_000;
const RIGHT_AGAIN_WITHIN_MS = 2000;
// The second trial after a fall comes 5 to 10 s after it, the third in twice as long.
const RETURNS_WITHIN_MS = 40_000;
const TARGET_PX = 44;

const windows = await Windows.open();
/** @type {Server[]} */
const servers = [];

after(async () => {
  await windows.close();
  await Promise.all(servers.map((server) => server.end()));
});

async function startedServer() {
  const server = await Server.start();
  servers.push(server);
  return server;
}

/** A window that follows `id`, on one transport if it is named, noting every frame it is told. */
async function following(base, id, transport, more = {}) {
  const page = await windows.window({ path: `${base}/?session=${id}`, ...more });
  await untilSettled(page);
  if (transport) {
    await page.check(`[name=transport][value=${transport}]`, { force: true });
    await page.waitForFunction((wanted) => window.synckairos.transport === wanted, transport);
    await untilSettled(page);
  }
  await page.evaluate(() => {
    window.heard = [];
    window.synckairos.on('frame', ({ type, position }) => window.heard.push([type, position]));
  });
  return page;
}

/** Every write was told in order, once, from the first heard to the newest held; a whole state stands for those before it. */
async function nothingMissed(page) {
  const { heard, newest } = await page.evaluate(() => ({ heard: window.heard, newest: window.synckairos.session.version }));
  const told = heard.filter(([type]) => type === 'STATE_UPDATE' || type === 'STATE_SYNC');
  const versions = told.map(([type, position]) => [type, Number(position.split('-')[1])]);
  for (const [at, [type, version]] of versions.entries()) {
    if (at > 0 && type === 'STATE_UPDATE') assert.equal(version, versions[at - 1][1] + 1, JSON.stringify(told));
  }
  if (versions.length > 0) assert.equal(versions.at(-1)[1], newest, JSON.stringify(told));
  return { updates: versions.filter(([type]) => type === 'STATE_UPDATE').length, syncs: versions.filter(([type]) => type === 'STATE_SYNC').length };
}

const isOn = (wanted) => window.synckairos.transport === wanted && window.synckairos.state === 'live';

describe('three windows, three transports', () => {
  let pages;
  const acts = [
    ['start over long-poll', 2, (page) => page.click('[data-command=start]')],
    ['switch over the WebSocket', 0, (page) => page.click('[data-clock=p1] .face-button')],
    ['switch over SSE', 1, (page) => page.click('[data-clock=p2] .face-button')],
    ['pause over long-poll', 2, (page) => page.click('[data-command=pause]')],
    ['resume over SSE', 1, (page) => page.click('[data-command=resume]')],
    ['give time over the WebSocket', 0, (page) => page.click('[data-clock=p1] [data-key="15000"]')],
  ];

  before(async () => {
    const server = await startedServer();
    const id = await server.createBlitz();
    const ahead = [0, -WRONG_BY_MS, WRONG_BY_MS];
    pages = await Promise.all(TRANSPORTS.map((transport, at) => following(server.base, id, transport, { clockAheadMs: ahead[at] })));
  });

  for (const [name, by, act] of acts) {
    test(`they agree after: ${name}`, async () => {
      await stepped(() => act(pages[by]), pages);
      await agree(pages);
    });
  }

  test('each was told every write once, in order', async () => {
    for (const page of pages) assert.deepEqual(await nothingMissed(page), { updates: acts.length, syncs: 0 });
  });

  test('each window shows its transport and its freshness', async () => {
    for (const [at, page] of pages.entries()) {
      assert.equal(await page.locator('#transport').textContent(), NAMES[TRANSPORTS[at]]);
      assert.match(await page.locator('#heard').textContent(), /^heard (just now|[0-3] s ago)$/);
      assert.match(await page.locator('#offset').textContent(), /ms$/);
      assert.match(await page.locator('#round-trip').textContent(), /^\d+\.\d ms$/);
      assert.ok(await page.locator('#transport-why').isHidden());
    }
  });

  test('the choice is kept when the window is loaded again, and made by keyboard', async () => {
    const [, , page] = pages;
    await page.reload();
    await untilSettled(page);
    assert.equal(await page.evaluate(() => window.synckairos.transport), 'poll');
    await page.focus('[name=transport][value=poll]');
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction(isOn, 'sse');
    assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement.nextElementSibling).outlineStyle), 'none');
    await agree(pages);
  });

  test('a narrow screen shows the switch whole', async () => {
    const [page] = pages;
    await page.setViewportSize({ width: 320, height: 640 });
    assert.equal(await overhang(page), 0);
    assert.deepEqual(await smallTargets(page, TARGET_PX), []);
  });

  test('nothing complained', () => assert.deepEqual(windows.complaints(), []));
});

describe('faults', { concurrency: true }, () => {
  test('a window falls back to what is let through, says why, and returns; nothing is missed', async () => {
    const server = await startedServer();
    const id = await server.createBlitz();
    const proxy = await FaultyProxy.before(server.port);
    const page = await following(proxy.base, id);
    const direct = await following(server.base, id);
    await server.command(id, 'start');
    await page.waitForFunction(isOn, 'websocket');

    for (const [blocked, way, next] of [['websocket', 'swallow', 'sse'], ['sse', 'hold', 'poll']]) {
      proxy.disturb(blocked, way);
      await server.command(id, 'switch');
      await page.waitForFunction(isOn, next, { timeout: FALLBACK_WITHIN_MS });
      await page.waitForFunction((name) => document.querySelector('#transport').textContent === name, NAMES[next]);
      await stepped(() => server.command(id, 'switch'), [direct, page]);
      await agree([direct, page]);
      assert.match(await page.locator('#transport-why').textContent(), /^The WebSocket fell silent/);
    }
    assert.match(await page.locator('#transport-why').textContent(), /SSE (fell silent|brought nothing).*by long-poll/);

    proxy.letThrough();
    await page.waitForFunction(isOn, 'websocket', { timeout: RETURNS_WITHIN_MS });
    await page.waitForSelector('#transport-why', { state: 'hidden' });
    await stepped(() => server.command(id, 'switch'), [direct, page]);
    await agree([direct, page]);
    assert.deepEqual(await nothingMissed(page), { updates: 6, syncs: 0 });
    await proxy.close();
  });

  test('a WebSocket that is refused is not waited for', async () => {
    const server = await startedServer();
    const id = await server.createBlitz();
    const proxy = await FaultyProxy.before(server.port);
    proxy.disturb('websocket', 'refuse');
    const page = await following(proxy.base, id);
    assert.equal(await page.evaluate(() => window.synckairos.transport), 'sse');
    await page.waitForSelector('#transport-why:visible');
    assert.match(await page.locator('#transport-why').textContent(), /^The WebSocket did not open\. So this window goes by SSE/);
    await proxy.close();
  });

  test('behind an nginx that holds events back a window goes by long-poll, and says so', async () => {
    const server = await startedServer();
    const id = await server.createBlitz();
    const nginx = await Nginx.before(server.port);
    const page = await windows.window({ path: `${nginx.bases.deaf}/?session=${id}` });
    await page.waitForFunction(isOn, 'poll', { timeout: FALLBACK_WITHIN_MS });
    await page.waitForSelector('#transport-why:visible');
    const why = await page.locator('#transport-why').textContent();
    assert.match(why, /^The WebSocket did not open, and SSE brought nothing .* goes by long-poll/);
    await untilSettled(page);
    await stepped(() => page.click('[data-command=start]'), [page]);
    await page.context().close();
    await nginx.end();
  });

  test('after a restart of the server every window is right again at once, and nothing is missed', async () => {
    const server = await startedServer();
    const id = await server.createBlitz();
    const pages = await Promise.all(TRANSPORTS.map((transport) => following(server.base, id, transport)));
    await server.command(id, 'start');
    await stepped(() => server.command(id, 'switch'), pages);
    const { epoch: before } = await server.ask('GET', `/v1/sessions/${id}`);
    await server.stop();
    for (const page of pages) await page.waitForSelector('#status[data-state=away]');
    await server.begin();
    const backMs = performance.now();
    const { epoch, version } = await server.ask('GET', `/v1/sessions/${id}`);
    assert.ok(epoch > before, 'a new epoch began');
    const isRight = ([e, v]) => {
      const { session, state } = window.synckairos;
      return state === 'live' && session.epoch === e && session.version >= v;
    };
    const right = pages.map(async (page) => {
      await page.waitForFunction(isRight, [epoch, version]);
      return performance.now() - backMs;
    });
    const took = await Promise.all(right);
    assert.ok(Math.max(...took) <= RIGHT_AGAIN_WITHIN_MS, `right again after ${took.map(Math.round).join(', ')} ms`);
    // Nobody pays for the restart: the clock waits to be resumed.
    await stepped(() => server.command(id, 'resume'), pages);
    await agree(pages);
    for (const [at, page] of pages.entries()) {
      assert.equal(await page.evaluate(() => window.synckairos.transport), TRANSPORTS[at]);
      const { updates, syncs } = await nothingMissed(page);
      assert.ok(updates === 3 && syncs === 1, `${TRANSPORTS[at]}: ${updates} updates, ${syncs} whole states`);
    }
  });
});
