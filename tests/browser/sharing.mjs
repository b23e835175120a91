/**
 * Who may do what on the page of a server that asks for tokens: the organiser shares, players play, viewers watch.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node sharing.mjs
 *
 * It starts servers of its own: one with a key, one without.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server } from '../service/server.mjs';
import { agree, stepped } from './agreement.mjs';
import { SECRET, claimsOf, signed, tokenIn } from './tokens.mjs';
import { PATIENCE_MS, Windows, choose, overhang, pressTwice, smallTargets, untilSettled, versionOf } from './windows.mjs';

const TARGET_PX = 44;
// Long enough for a busy machine to show the clock before the token ends.
const LIFE_MS = 15_000;
const OPERATOR = signed({ role: 'operator' });
const EXAM = {
  sync_mode: 'per_participant',
  concurrency: 'simultaneous',
  total_time_ms: 5_400_000,
  participants: ['p1', 'p2', 'p3'].map((id) => ({ participant_id: id, metadata: { name: `Candidate ${id}` } })),
  metadata: { preset: 'exam' },
};

/** @type {Windows} */
let windows;
/** @type {Server} */
let server;
/** @type {Server} */
let openServer;

before(async () => {
  windows = await Windows.open();
  server = await Server.start(undefined, { env: { JWT_SECRET: SECRET }, token: OPERATOR });
  openServer = await Server.start();
});

after(async () => {
  await windows.close();
  await Promise.all([server, openServer].map((one) => one?.end()));
});

async function opened(link, more = {}) {
  const page = await windows.window({ path: link, ...more });
  await untilSettled(page);
  return page;
}

/** A window of the organiser, on the session `id`. */
function organiser(id, more) {
  return opened(`${server.base}/?session=${id}#token=${OPERATOR}`, more);
}

/** Makes the link that lets others in as `choice`: a participant, or nobody to watch only. */
async function madeLink(page, choice = '') {
  await page.selectOption('#share-as', choice);
  await page.click('#make-link');
  await page.waitForSelector('#share-link:visible');
  return page.inputValue('#link');
}

/** All that can be pressed in the session, as its people see it. */
function buttons(page) {
  const seen = '#toolbar :is(button, a), .face-foot button:not(:disabled), .face-more, #join button, #share button, .face-button[aria-disabled=false]';
  return page.evaluate((selector) => {
    const visible = [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility());
    return visible.map((one) => `${one.closest('[data-clock]')?.dataset.clock ?? ''} ${one.dataset.command ?? one.dataset.key ?? (one.className || one.id)}`.trim());
  }, seen);
}

async function deadEnd(page, timeout = PATIENCE_MS) {
  await page.waitForSelector('#dead-end:visible', { timeout });
  return page.evaluate(() => [...document.querySelectorAll('#dead-end :is(h1, p)')].map((one) => one.textContent).join(' '));
}

async function close(...pages) {
  await Promise.all(pages.map((page) => page.context().close()));
}

describe('shared links', { concurrency: 2 }, () => {
  test('a clock made with a token is shared without that token', async () => {
    const page = await windows.window({ path: `${server.base}/#token=${OPERATOR}` });
    assert.equal(page.url(), `${server.base}/`);
    await choose(page, 'blitz');
    await page.click('#create-button');
    await untilSettled(page);
    const id = new URL(page.url()).searchParams.get('session');
    for (const choice of ['', 'p1', 'p2']) {
      const link = await madeLink(page, choice);
      const token = tokenIn(link);
      const { role, participant_id: seat, sessions } = claimsOf(token);
      assert.deepEqual([role, seat, sessions], [choice ? 'participant' : 'viewer', choice || undefined, [id]]);
      assert.notEqual(token, OPERATOR);
      const everywhere = await page.evaluate(() => [location.href, document.title, document.documentElement.outerHTML, ...[...document.querySelectorAll('input, select')].map((one) => one.value)].join('\n'));
      assert.ok(everywhere.includes(token) || (await page.inputValue('#link')).includes(token));
      assert.ok(!everywhere.includes(OPERATOR), 'the token of whoever made the clock stands in the page');
    }
    await close(page);
  });

  test('the share box offers to watch or to play as each', async () => {
    const id = await server.createBlitz({ metadata: { preset: 'blitz' } });
    const page = await organiser(id);
    assert.deepEqual(await page.locator('#share-as option').allTextContents(), ['Watch only', 'Play as p1', 'Play as p2']);
    assert.ok(await page.locator('#share-link').isHidden(), 'no link is made before one is asked for');
    const link = await madeLink(page, 'p2');
    const until = await page.evaluate((exp) => new Date(exp * 1000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' }), claimsOf(tokenIn(link)).exp);
    const says = await page.locator('#share-says').textContent();
    assert.match(says, /^Anyone with this link can play as p2 until .*\d\d:\d\d\.$/);
    assert.ok(says.endsWith(`${until}.`), `${says} (the token ends at ${until})`);
    await page.selectOption('#share-as', 'p1');
    assert.ok(await page.locator('#share-link').isHidden(), 'the link was for another');
    await close(page);
  });

  test('a removed participant is not offered any more', async () => {
    const { session_id: id } = await server.ask('POST', '/v1/sessions', EXAM);
    const page = await organiser(id);
    assert.match((await page.locator('#share-as option').allTextContents()).join(), /Take part as Candidate p3/);
    await madeLink(page, 'p3');
    await stepped(() => server.ask('DELETE', `/v1/sessions/${id}/participants/p3`), [page]);
    assert.equal(await page.inputValue('#share-as'), '');
    assert.equal(await page.locator('#share-as option').count(), 3);
    assert.ok(await page.locator('#share-link').isHidden());
    await close(page);
  });

  test('a server that cannot sign says so in words', async () => {
    const page = await organiser(await server.createBlitz());
    const problem = { type: 'about:blank', title: 'no signing key', status: 501, code: 'no_signing_key' };
    await page.route('**/tokens', (route) => route.fulfill({ status: 501, contentType: 'application/problem+json', body: JSON.stringify(problem) }));
    await page.click('#make-link');
    await page.waitForSelector('#notice:visible');
    assert.match(await page.locator('#notice-text').textContent(), /^This server cannot make links/);
    assert.ok(await page.locator('#share-link').isHidden());
    assert.ok(await page.locator('#make-link').isEnabled());
    await close(page);
  });

  test('without a key the link is for this computer only', async () => {
    const id = await openServer.createBlitz();
    const page = await opened(`${openServer.base}/?session=${id}`);
    assert.equal(await page.locator('#share-title').textContent(), 'Only on this computer');
    assert.equal(await page.inputValue('#link'), `${openServer.base}/?session=${id}`);
    assert.ok(await page.locator('#share-make').isHidden());
    await close(page);
  });

  test('the share box fits every screen', async () => {
    const page = await organiser(await server.createBlitz());
    await madeLink(page, 'p1');
    for (const width of [320, 375, 1280, 1920]) {
      await page.setViewportSize({ width, height: 800 });
      assert.equal(await overhang(page), 0, `${width} px`);
      assert.deepEqual(await smallTargets(page, TARGET_PX), [], `${width} px`);
    }
    await close(page);
  });
});

describe('buttons by role', { concurrency: 2 }, () => {
  test('a viewer sees the clock and no button', async () => {
    const id = await server.createBlitz();
    const maker = await organiser(id);
    const viewer = await opened(await madeLink(maker));
    assert.deepEqual(await buttons(viewer), []);
    assert.equal(await viewer.locator('#role').textContent(), 'View only');
    await stepped(() => maker.click('[data-command=start]'), [maker, viewer]);
    const before = await versionOf(viewer);
    await viewer.click('[data-clock=p1] .face-button', { force: true });
    for (const key of ['Space', 'p', 't']) await viewer.keyboard.press(key);
    await stepped(() => maker.click('[data-clock=p1] [data-key="15000"]'), [maker, viewer]);
    assert.equal(await versionOf(viewer), before + 1, 'a key of the viewer did something');
    assert.deepEqual(await buttons(viewer), []);
    assert.ok(await viewer.locator('#notice').isHidden());
    await agree([maker, viewer]);
    await stepped(() => pressTwice(maker, '[data-command=complete]'), [maker, viewer]);
    assert.deepEqual(await buttons(viewer), [], 'nor a link to make another');
    await close(maker, viewer);
  });

  test('a player sees its own button while it is active', async () => {
    const id = await server.createBlitz();
    const maker = await organiser(id);
    const player = await opened(await madeLink(maker, 'p1'));
    assert.equal(await player.locator('#role').textContent(), 'You are p1');
    assert.deepEqual(await buttons(player), [], 'before the start');
    await stepped(() => maker.click('[data-command=start]'), [maker, player]);
    assert.deepEqual(await buttons(player), ['p1 face-button', 'switch']);
    await stepped(() => player.click('[data-command=switch]'), [maker, player]);
    assert.deepEqual(await buttons(player), [], 'while the other is active');
    await player.keyboard.press('Space');
    await stepped(() => maker.click('[data-clock=p2] .face-button'), [maker, player]);
    await stepped(() => player.keyboard.press('Space'), [maker, player]);
    assert.equal(await maker.evaluate(() => window.synckairos.session.active_participant_id), 'p2');
    await agree([maker, player]);
    await close(maker, player);
  });

  test('a player names the next only where the session lets it', async () => {
    const three = { participants: ['p1', 'p2', 'p3'].map((id) => ({ participant_id: id })) };
    const id = await server.createBlitz(three);
    const maker = await organiser(id);
    const player = await opened(await madeLink(maker, 'p1'));
    await stepped(() => maker.click('[data-command=start]'), [maker, player]);
    assert.ok((await buttons(maker)).includes('p3 next'));
    assert.deepEqual(await buttons(player), ['p1 face-button', 'switch']);
    await close(maker, player);
  });

  test('a candidate runs its own clock and no other', async () => {
    const { session_id: id } = await server.ask('POST', '/v1/sessions', EXAM);
    const maker = await organiser(id);
    const own = await opened(await madeLink(maker, 'p2'));
    assert.deepEqual(await buttons(own), []);
    await stepped(() => maker.click('[data-command=start]'), [maker, own]);
    assert.deepEqual(await buttons(own), ['p2 pause', 'p2 complete']);
    await stepped(() => own.click('[data-clock=p2] [data-key=pause]'), [maker, own]);
    assert.deepEqual(await buttons(own), ['p2 resume', 'p2 complete']);
    await stepped(() => own.keyboard.press('p'), [maker, own]);
    assert.deepEqual(await buttons(own), ['p2 pause', 'p2 complete']);
    await server.command(id, 'pause', { participant_id: 'p2', reason: 'invigilator' });
    await own.waitForSelector('[data-clock=p2] [data-key=resume]', { state: 'detached' });
    assert.match(await own.locator('[data-clock=p2] .face-note').textContent(), /^Paused: “invigilator”$/);
    await stepped(() => pressTwice(own, '[data-clock=p2] [data-key=complete]'), [maker, own]);
    assert.deepEqual(await buttons(own), []);
    await close(maker, own);
  });
});

describe('the address bar', { concurrency: 2 }, () => {
  test('the organiser may load the page again, go back, and make another', async () => {
    const id = await server.createBlitz();
    const page = await organiser(id);
    assert.equal(page.url(), `${server.base}/?session=${id}`);
    await page.reload();
    await untilSettled(page);
    await page.click('.brand');
    await page.waitForSelector('#create-button:visible');
    assert.equal(page.url(), `${server.base}/`);
    await page.click('#create-button');
    await untilSettled(page);
    await page.goBack();
    await page.goBack();
    await untilSettled(page);
    assert.equal(page.url(), `${server.base}/?session=${id}`);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.reload();
    await untilSettled(page);
    await close(page);
  });

  test('a viewer may load the page again, and pass its address on', async () => {
    const maker = await organiser(await server.createBlitz());
    const link = await madeLink(maker);
    const viewer = await opened(link);
    assert.equal(viewer.url(), link);
    await viewer.reload();
    await untilSettled(viewer);
    const other = await opened(viewer.url());
    await close(maker, viewer, other);
  });

  test('a player may load the page again, but passes no seat on', async () => {
    const maker = await organiser(await server.createBlitz());
    const player = await opened(await madeLink(maker, 'p1'));
    assert.equal(tokenIn(player.url()), null);
    await player.reload();
    await untilSettled(player);
    assert.equal(await player.locator('#role').textContent(), 'You are p1');
    const other = await windows.window({ path: player.url() });
    assert.equal(await deadEnd(other), 'This link has no access Ask the organiser for a new one.');
    assert.ok(await other.locator('#dead-end-new').isHidden());
    await close(maker, player, other);
  });

  test('a link that has ended says until when it worked', async () => {
    const id = await server.createBlitz();
    const ended = signed({ role: 'viewer', sessions: [id], lifeMs: -60_000 });
    const page = await windows.window({ path: `${server.base}/?session=${id}#token=${ended}` });
    assert.match(await deadEnd(page), /^This link has ended It worked until \d\d:\d\d\. Ask the organiser for a new one\.$/);
    await close(page);
  });

  test('a link that ends while it is open says so', async () => {
    const id = await server.createBlitz();
    const page = await windows.window({ path: `${server.base}/?session=${id}#token=${signed({ role: 'viewer', sessions: [id], lifeMs: LIFE_MS })}` });
    await page.waitForSelector('.face:visible');
    assert.match(await deadEnd(page, LIFE_MS + PATIENCE_MS), /^This link has ended/);
    await close(page);
  });

  test('an organiser whose token has ended is told so', async () => {
    const id = await server.createBlitz();
    const page = await windows.window({ path: `${server.base}/?session=${id}#token=${signed({ role: 'operator', lifeMs: -60_000 })}` });
    assert.match(await deadEnd(page), /^Your access has ended Your token worked until/);
    await close(page);
  });

  test('a new link pasted over an ended one opens', async () => {
    const id = await server.createBlitz();
    const links = [-60_000, 60_000].map((lifeMs) => `${server.base}/?session=${id}#token=${signed({ role: 'viewer', sessions: [id], lifeMs })}`);
    const page = await windows.window({ path: links[0] });
    await deadEnd(page);
    await page.goto(links[1]);
    await untilSettled(page);
    await close(page);
  });

  test('a token that cannot be read is refused in words', async () => {
    const id = await server.createBlitz();
    for (const token of ['nonsense', 'a.b.c', `${btoa('{}')}.${btoa('null')}.x`]) {
      const page = await windows.window({ path: `${server.base}/?session=${id}#token=${token}` });
      assert.equal(await deadEnd(page), 'This link is not valid The server refused it. Ask the organiser for a new one.');
      await close(page);
    }
  });

  test('the form says how to get a token', async () => {
    const page = await windows.window({ path: server.base });
    await page.click('#create-button');
    await page.waitForSelector('#form-error:visible');
    assert.match(await page.locator('#form-error').textContent(), /synckairos token/);
    await close(page);
  });
});

test('no script in any window failed', () => {
  // A refused request is what some of these windows are for; the browser notes each.
  const failures = windows.complaints().filter((text) => !/Failed to load resource|WebSocket connection to .* failed/.test(text));
  assert.deepEqual(failures, []);
});
