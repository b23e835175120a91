/**
 * Two windows, one clock: the page in real browser windows against a server of its own.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node two-windows.mjs
 *
 * Window `a` is an ordinary one; the device clock of window `b` is an hour and seven minutes wrong.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server } from '../service/server.mjs';
import { WITHIN_MS, agree, stepped as steppedIn } from './agreement.mjs';
import { Windows, changes, choose, overhang, pressTwice, smallTargets, untilSettled } from './windows.mjs';

const WRONG_BY_MS = 67 * 60_000;
const TARGET_PX = 44;

/** @type {Server} */
let server;
/** @type {Windows} */
let windows;
let a;
let b;

before(async () => {
  server = await Server.start();
  windows = await Windows.open(server.base);
});

after(async () => {
  await windows.close();
  // One signal is enough, and it ends well.
  await server.stop();
  await server.end();
});

test('a chess clock is made in one window, and its link opens it in another', async () => {
  a = await windows.window();
  await a.fill('[name=minutes]', '5');
  await a.fill('[name=increment]', '3');
  await a.fill('[name=name] >> nth=0', 'Ada');
  await a.fill('[name=title]', 'Two windows');
  await a.click('#create-button');
  await untilSettled(a);
  const link = await a.inputValue('#link');
  assert.match(link, /\?session=[\w.:-]+$/);
  b = await windows.window({ path: link, clockAheadMs: WRONG_BY_MS });
  await untilSettled(b);
  for (const page of [a, b]) {
    assert.deepEqual(await page.locator('.face-name').allTextContents(), ['Ada', 'Black']);
    assert.equal(await page.locator('#session-title').textContent(), 'Two windows');
  }
  await agree([a, b]);
});

const STEPS = [
  ['start', () => a.click('[data-command=start]'), 'running'],
  ['switch by pressing the running clock', () => b.click('[data-clock=p1] .face-button'), 'running'],
  ['pause', () => a.click('[data-command=pause]'), 'paused'],
  ['resume', () => b.click('[data-command=resume]'), 'running'],
  ['give the running clock time', () => a.click('[data-clock=p2] [data-key="15000"]'), 'running'],
  ['take time from the waiting one', () => b.click('[data-clock=p1] [data-key="-15000"]'), 'running'],
  ['switch by the button', () => a.click('[data-command=switch]'), 'running'],
  ['reset', () => pressTwice(b, '[data-command=reset]'), 'pending'],
  ['start again', () => b.click('[data-command=start]'), 'running'],
];

for (const [name, act, status] of STEPS) {
  test(`both windows show the same after: ${name}`, async () => {
    await stepped(act);
    const seen = await agree([a, b]);
    assert.deepEqual(seen.map((sample) => sample.status), [status, status]);
  });
}

test('the screens change at the same moment', async () => {
  const [inA, inB] = await Promise.all([changes(a, 'p1', 15), changes(b, 'p1', 15)]);
  const shared = Object.keys(inA).filter((text) => text in inB);
  const apart = shared.map((text) => Math.abs(inA[text] - inB[text])).sort((x, y) => x - y);
  assert.ok(shared.length >= 10, `${shared.length} texts seen in both`);
  const median = apart[Math.floor(apart.length / 2)];
  assert.ok(median <= WITHIN_MS, `half of the digits came more than ${median} ms apart`);
});

test('it is run by keyboard alone', async () => {
  await stepped(() => pressTwice(a, '[data-command=reset]'));
  await a.locator('.brand').focus();
  await tabTo(a, '[data-command=start]');
  assert.notEqual(await a.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none');
  await stepped(() => a.keyboard.press('Enter'));
  assert.equal(await a.evaluate(() => document.activeElement.closest('[data-clock]')?.dataset.clock), 'p1');
  await stepped(() => a.keyboard.press('Space'));
  assert.equal(await active(b), 'p2');
  await stepped(() => a.keyboard.press('Space'));
  assert.equal(await active(b), 'p1');
  await stepped(() => a.keyboard.press('p'));
  await agree([a, b]);
  await stepped(() => a.keyboard.press('p'));
  await agree([a, b]);
});

test('a voice hears what a clock is, and not every digit of it', async () => {
  const clock = a.locator('[data-clock=p1] .face-button');
  assert.match(await clock.getAttribute('aria-label'), /^Ada: \d+ minutes?.* left\. Running.* Press to hand on\.$/);
  assert.equal(await a.locator('.digits').first().evaluate((node) => node.closest('[aria-live], [role=status], [role=alert]')), null);
  await a.keyboard.press('t');
  await a.waitForFunction(() => /Ada: .*Black: /.test(document.getElementById('announce').textContent));
});

test('a scheduled start happens in both windows on the same millisecond', async () => {
  await stepped(() => pressTwice(a, '[data-command=reset]'));
  await stepped(() => a.click('[data-command="start-together"]'));
  const at = await a.evaluate(() => window.synckairos.session.starts_at);
  await Promise.all([a, b].map((page) => page.waitForSelector('#starting:not([hidden])')));
  const isRunning = () => Object.values(window.synckairos.sample().clocks).some((clock) => clock.isRunning);
  await Promise.all([a, b].map((page) => page.waitForFunction(isRunning)));
  await agree([a, b]);
  await Promise.all([a, b].map((page) => page.waitForSelector('[data-command=pause]:visible')));
  await Promise.all([a, b].map((page) => page.waitForFunction(() => window.synckairos.session.status === 'running')));
  for (const page of [a, b]) assert.equal(await page.evaluate(() => window.synckairos.session.cycle_started_at), at);
});

test('a phone shows all of it: nothing to the side, and nothing too small for a thumb', async () => {
  const link = await a.inputValue('#link');
  for (const size of [{ width: 390, height: 844 }, { width: 320, height: 640 }, { width: 844, height: 390 }]) {
    const phone = { viewport: size, hasTouch: true, isMobile: true };
    for (const path of ['/', link]) {
      const page = await windows.window({ path, ...phone });
      await page.waitForSelector('#create-button:visible, .face:visible');
      assert.equal(await overhang(page), 0, `${size.width} px wide, ${path}`);
      assert.deepEqual(await smallTargets(page, TARGET_PX), [], `${size.width} px wide, ${path}`);
      await page.context().close();
    }
  }
});

test('a phone hands on with a tap', async () => {
  const viewport = { width: 390, height: 844 };
  const phone = await windows.window({ path: await a.inputValue('#link'), viewport, hasTouch: true, isMobile: true });
  await untilSettled(phone);
  const was = await active(a);
  await stepped(() => phone.tap(`[data-clock=${was}] .face-button`), [a, b, phone]);
  assert.notEqual(await active(a), was);
  await agree([a, b, phone]);
  await phone.context().close();
});

test('a countdown and a stopwatch agree as well', async () => {
  for (const [kind, direction] of [['countdown', -1], ['stopwatch', 1]]) {
    const one = await windows.window();
    await choose(one, kind);
    await one.click('#create-button');
    await untilSettled(one);
    const two = await windows.window({ path: await one.inputValue('#link'), clockAheadMs: -WRONG_BY_MS });
    await untilSettled(two);
    const pair = [one, two];
    await stepped(() => one.click('[data-command=start]'), pair);
    const [first] = await agree(pair);
    await stepped(() => two.click('[data-command=pause]'), pair);
    const [then] = await agree(pair);
    assert.ok(direction * (then.clocks.session.shownMs - first.clocks.session.shownMs) > 0, kind);
    await Promise.all(pair.map((page) => page.context().close()));
  }
});

test('a clock that runs out says so in both windows', async () => {
  const one = await windows.window();
  await choose(one, 'countdown');
  await one.fill('[name=minutes]', '0');
  await one.fill('[name=seconds]', '2');
  await one.click('#create-button');
  await untilSettled(one);
  const two = await windows.window({ path: await one.inputValue('#link') });
  await untilSettled(two);
  await one.click('[data-command=start]');
  for (const page of [one, two]) {
    await page.waitForSelector('.face[data-look=out]');
    await page.waitForFunction(() => window.synckairos.session.status === 'expired');
    assert.equal(await page.locator('.digits').textContent(), '0:00.0');
    await page.waitForSelector('#another:visible');
    await page.context().close();
  }
});

test('nothing in any window complained so far', () => {
  assert.deepEqual(windows.complaints(), []);
});

test('a refusal is shown in plain words', async () => {
  const page = await windows.window();
  await page.fill('[name=minutes]', '0');
  await page.fill('[name=increment]', '0');
  await page.click('#create-button');
  await page.waitForSelector('#form-error:visible');
  assert.match(await page.locator('#form-error').textContent(), /do not make a clock that can be played \(.*total_time_ms/);
  await page.context().close();
});

test('a session that is not there is not shown as one', async () => {
  const page = await windows.window({ path: '/?session=no-such-session' });
  await page.waitForSelector('#dead-end:visible');
  assert.match(await page.locator('#dead-end-title').textContent(), /no such clock/i);
  await page.context().close();
});

test('silence is shown as stale, and its end as live', async () => {
  server.signal('SIGSTOP');
  try {
    await Promise.all([a, b].map((page) => page.waitForSelector('#status[data-state=stale]')));
    assert.match(await a.locator('#status').textContent(), /^Stale for \d+ s$/);
    assert.ok(await a.locator('#banner').isVisible());
  } finally {
    server.signal('SIGCONT');
  }
  await Promise.all([a, b].map((page) => page.waitForSelector('#status[data-state=live]')));
  await untilSettled(a, b);
  await agree([a, b]);
});

test('a deleted session says so', async () => {
  const id = await a.evaluate(() => window.synckairos.session.session_id);
  await server.ask('DELETE', `/v1/sessions/${id}`);
  for (const page of [a, b]) {
    await page.waitForSelector('#dead-end:visible');
    assert.match(await page.locator('#dead-end-title').textContent(), /deleted/i);
  }
});

function stepped(act, pages = [a, b]) {
  return steppedIn(act, pages);
}

function active(page) {
  return page.evaluate(() => window.synckairos.session.active_participant_id);
}

async function tabTo(page, selector) {
  for (let presses = 0; presses < 30; presses += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return;
  }
  assert.fail(`no Tab leads to ${selector}`);
}
