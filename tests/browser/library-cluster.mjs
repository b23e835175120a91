/**
 * The client library on a whole cluster: three instances with Redis and PostgreSQL behind nginx, one of which is killed
 * and replaced.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node library-cluster.mjs
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { WITHIN_MS } from './agreement.mjs';
import { apartMs, clientIn, follow, nothingMissed, told, versionIs } from './library-windows.mjs';
import { Windows } from './windows.mjs';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('../../scripts/cluster', import.meta.url));
const BLITZ = { sync_mode: 'per_participant', total_time_ms: 300_000, participants: [{ participant_id: 'white' }, { participant_id: 'black' }] };
const WINDOWS = 6;
const RIGHT_AGAIN_WITHIN_MS = 10_000;

let state;
let given;
let windows;
let pages;
let ids;

const cluster = (...words) => run(SCRIPT, [...words, '--state', state], { env: { ...process.env, SYNCKAIROS_PROGRAM: process.env.SYNCKAIROS_TEST_PROGRAM } });

before(async () => {
  state = await mkdtemp(join(tmpdir(), 'synckairos-library-'));
  await cluster('up', '3');
  const lines = (await readFile(join(state, 'env'), 'utf8')).matchAll(/^export SYNCKAIROS_(\w+)='(.*)'$/gm);
  given = Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
  windows = await Windows.open();
});

after(async () => {
  await windows?.close();
  await cluster('down');
  await rm(state, { recursive: true, force: true });
});

/** A command by one window; the version that it made. */
const command = (page, id, name) =>
  page.evaluate(async ([one, what]) => (await window.client.command(one, what)).version, [id, name]);

const all = (version, timeout) => Promise.all(pages.map((page) => versionIs(page, ids[0], version, timeout)));

test('windows on all instances follow two sessions each over one socket, and agree', async () => {
  const tokens = () => [given.TOKEN, given.TOKEN];
  pages = await Promise.all(Array.from({ length: WINDOWS }, () => clientIn(windows, given.URL, { tokens: tokens() })));
  ids = await pages[0].evaluate(async (config) => [(await window.client.createSession(config)).session_id, (await window.client.createSession(config)).session_id], BLITZ);
  for (const page of pages) await follow(page, ...ids);
  await all(await command(pages[0], ids[0], 'start'), 5000);
  await Promise.all(pages.map((page) => page.waitForFunction(() => window.client.clock.isSettled)));
  for (const page of pages) await all(await command(page, ids[0], 'switch'), 5000);
  const apart = await apartMs(pages, ids[0]);
  assert.ok(apart <= WITHIN_MS, `${apart} ms apart`);
});

test('an instance is killed: every press is counted once, and all windows are right again', async () => {
  process.kill(Number(given.PIDS.split(' ')[1]), 'SIGKILL');
  const killedMs = performance.now();
  let version = await pages[0].evaluate((id) => window.client.session(id).version, ids[0]);
  for (const page of pages) {
    // Whose turn it is each window knows from what it shows.
    await versionIs(page, ids[0], version, RIGHT_AGAIN_WITHIN_MS);
    const next = await command(page, ids[0], 'switch');
    assert.equal(next, version + 1);
    version = next;
  }
  await all(version, RIGHT_AGAIN_WITHIN_MS);
  const tookMs = performance.now() - killedMs;
  assert.ok(tookMs <= RIGHT_AGAIN_WITHIN_MS + 5000, `${Math.round(tookMs)} ms`);
  for (const page of pages) {
    for (const id of ids) await nothingMissed(page, id);
    assert.deepEqual(await told(page, 'error'), []);
  }
  const lost = await Promise.all(pages.map((page) => told(page, 'disconnected')));
  assert.ok(lost.some((one) => one.length > 0), 'some were on the instance that was killed');
  console.log(`# ${lost.filter((one) => one.length > 0).length} of ${WINDOWS} windows lost it; all right after ${Math.round(tookMs)} ms`);
});

test('its replacement is used again', async () => {
  await cluster('start', 'instance-2');
  for (const page of pages) await all(await command(page, ids[0], 'switch'), 5000);
  const apart = await apartMs(pages, ids[0]);
  assert.ok(apart <= WITHIN_MS, `${apart} ms apart`);
  for (const page of pages) await nothingMissed(page, ids[0]);
});
