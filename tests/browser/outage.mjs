/**
 * A press while the server is away, and what a clock says of why it stands still.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node outage.mjs
 *
 * It starts servers of its own, for it also ends them.
 */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Server, until } from '../service/server.mjs';
import { stepped } from './agreement.mjs';
import { Windows, untilSettled, versionOf } from './windows.mjs';

const AT_ONCE_MS = 500;
// A shorter absence is charged as usual.
const OUTAGE_MS = 5000;
// A command that nobody answered by then is given up.
const PATIENCE_MS = 10_000;
const RETURN_WITHIN_MS = 30_000;
// The service leaves a sign of life this often, or oftener.
const BEAT_MS = 2000;

const windows = await Windows.open();
/** @type {Server[]} */
const servers = [];

after(async () => {
  await windows.close();
  await Promise.all(servers.map((server) => server.end()));
});

async function running(more = {}) {
  const server = await Server.start();
  servers.push(server);
  const id = await server.createBlitz(more);
  await server.command(id, 'start');
  const page = await following(server, id);
  return { server, id, page };
}

async function following(server, id) {
  const page = await windows.window({ path: `${server.base}/?session=${id}`, timezoneId: 'UTC' });
  await untilSettled(page);
  return page;
}

function noticed(page, text, timeout) {
  return page.waitForFunction(
    (wanted) => !document.querySelector('#notice').hidden && document.querySelector('#notice-text').textContent === wanted,
    text,
    { timeout },
  );
}

const isAway = (page) => page.waitForSelector('#status[data-state=away]');
const isBack = (page) => page.waitForSelector('#status[data-state=live]', { timeout: RETURN_WITHIN_MS });
const hasPassed = (sinceMs, ms) => until(`${ms} ms have passed`, () => performance.now() - sinceMs > ms, ms + 5000);

/** The server is killed; until when a clock of it may have run. */
async function killed(server) {
  await server.stop('SIGKILL');
  return { atMs: Date.now(), monotonicMs: performance.now() };
}

describe('a press while the server is away', { concurrency: 2 }, () => {
  test('is said to wait at once, and counted after a short absence', async () => {
    const { server, page } = await running();
    await server.stop('SIGKILL');
    await isAway(page);
    await page.click('[data-command=pause]');
    await noticed(page, 'The server is away. Your press is waiting.', AT_ONCE_MS);
    await server.begin();
    await noticed(page, 'Your press was counted.', RETURN_WITHIN_MS);
    assert.equal(await page.evaluate(() => window.synckairos.session.status), 'paused');
    await page.context().close();
  });

  test('is not counted where the clock stands after the return', async () => {
    const { server, page } = await running();
    const { monotonicMs } = await killed(server);
    await hasPassed(monotonicMs, OUTAGE_MS + 500);
    await page.click('[data-clock=p1] .face-button');
    await noticed(page, 'The server is away. Your press is waiting.', AT_ONCE_MS);
    await server.begin();
    await noticed(page, 'Your press was not counted. The clock is not running.', RETURN_WITHIN_MS);
    await page.context().close();
  });

  test('is not counted after ten seconds, and says so until after the return', async () => {
    const { server, page } = await running();
    await server.stop('SIGKILL');
    await isAway(page);
    const version = await versionOf(page);
    await page.click('[data-clock=p1] [data-key="15000"]');
    const pressedMs = performance.now();
    await noticed(page, 'Your press was not counted. The server is away.', PATIENCE_MS + 3000);
    // Longer than any notice is shown.
    await hasPassed(pressedMs, PATIENCE_MS + 9000);
    await noticed(page, 'Your press was not counted. The server is away.', AT_ONCE_MS);
    await server.begin();
    await isBack(page);
    await noticed(page, 'Your press was not counted. The server is away.', AT_ONCE_MS);
    await page.waitForSelector('#notice', { state: 'hidden' });
    assert.equal(await versionOf(page), version);
    await page.context().close();
  });

  test('is said to wait before anybody knows that the server is silent', async () => {
    const { server, page } = await running();
    server.signal('SIGSTOP');
    try {
      assert.equal(await page.evaluate(() => window.synckairos.state), 'live');
      await page.click('[data-command=pause]');
      await noticed(page, 'The server has not answered yet. Your press is waiting.', 3000);
    } finally {
      server.signal('SIGCONT');
    }
    await noticed(page, 'Your press was counted.', RETURN_WITHIN_MS);
    await page.context().close();
  });

  test('a press that is answered in time is not spoken of', async () => {
    const { page } = await running();
    await stepped(() => page.click('[data-command=pause]'), [page]);
    assert.ok(await page.locator('#notice').isHidden());
    await page.context().close();
  });
});

describe('why a clock is paused', { concurrency: 2 }, () => {
  const why = async (page) => {
    await page.waitForSelector('#paused-why:visible', { timeout: RETURN_WITHIN_MS });
    return page.locator('#paused-why').textContent();
  };

  for (const [kind, more] of Object.entries({
    'two players': {},
    'a countdown': { sync_mode: 'global', participants: [], increment_ms: 0 },
    'a delay': { time_control: { delay: { type: 'simple', delay_ms: 60_000 } } },
    'an exam': { concurrency: 'simultaneous', increment_ms: 0 },
  })) {
    test(`an outage says since when, in windows old and new: ${kind}`, async () => {
      const { server, id, page } = await running(more);
      const { atMs, monotonicMs } = await killed(server);
      await hasPassed(monotonicMs, OUTAGE_MS + BEAT_MS);
      await server.begin();
      await isBack(page);
      const said = await why(page);
      const [, since] = /^Paused since (\d\d:\d\d:\d\d): the server was away\. Nobody was charged\.$/.exec(said) ?? assert.fail(said);
      const [, day] = /^(\S+T)/.exec(new Date(atMs).toISOString());
      const apart = atMs - Date.parse(`${day}${since}Z`);
      assert.ok(apart > -1000 && apart < BEAT_MS + 1000, `${said}, killed at ${new Date(atMs).toISOString()}`);
      const later = await following(server, id);
      await later.waitForFunction((text) => document.querySelector('#paused-why').textContent === text, said);
      await stepped(() => page.click('[data-command=resume]'), [page, later]);
      for (const one of [page, later]) assert.ok(await one.locator('#paused-why').isHidden());
      await Promise.all([page, later].map((one) => one.context().close()));
    });
  }

  test('each reason is said, and several together', async () => {
    const { server, id, page } = await running();
    await stepped(() => page.click('[data-command=pause]'), [page]);
    assert.equal(await why(page), 'Paused on request.');
    await stepped(() => server.command(id, 'pause', { reason: 'tea <b>time</b>' }), [page]);
    assert.equal(await why(page), 'Paused for 2 reasons: somebody asked for it; “tea <b>time</b>”.');
    await stepped(() => server.command(id, 'resume', { reason: 'requested' }), [page]);
    assert.equal(await why(page), 'Paused: “tea <b>time</b>”.');
    await stepped(() => server.command(id, 'resume'), [page]);
    assert.ok(await page.locator('#paused-why').isHidden());
    for (const [reason, text] of Object.entries({ idle: 'Paused: nobody was here.', constructor: 'Paused: “constructor”.' })) {
      await stepped(() => server.command(id, 'pause', { reason }), [page]);
      assert.equal(await why(page), text);
      await stepped(() => server.command(id, 'resume'), [page]);
    }
    await page.context().close();
  });

  test('time that ran out says so', async () => {
    const { page } = await running({ total_time_ms: 1000, increment_ms: 0, action_on_timeout: { type: 'pause' } });
    assert.equal(await why(page), 'Paused: time ran out.');
    await page.context().close();
  });

  test('each of many clocks says its own', async () => {
    const { server, id, page } = await running({ concurrency: 'simultaneous', increment_ms: 0 });
    await stepped(() => server.command(id, 'pause', { participant_id: 'p2', reason: 'idle' }), [page]);
    assert.equal(await page.locator('[data-clock=p2] .face-note').textContent(), 'Paused: nobody was here');
    assert.equal(await page.locator('[data-clock=p1] .face-note').textContent(), 'Running');
    assert.ok(await page.locator('#paused-why').isHidden());
    await page.context().close();
  });
});

test('no script in any window failed', () => {
  const failures = windows.complaints().filter((text) => !/Failed to load resource|WebSocket connection to .* failed/.test(text));
  assert.deepEqual(failures, []);
});
