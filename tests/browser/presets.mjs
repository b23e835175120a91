/**
 * Every kind of clock: made through the form, started, commanded as its people would, and shown
 * alike in two windows.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node presets.mjs
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PRESETS } from '../../web/presets.js';
import { Server } from '../service/server.mjs';
import { agree, stepped } from './agreement.mjs';
import { Windows, choose, overhang, pressTwice, smallTargets, untilSettled } from './windows.mjs';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, colorScheme: 'dark' };
const WRONG_BY_MS = 67 * 60_000;
const TARGET_PX = 44;

/** What is filled in, and what its people do; both windows agree after each of it. */
const STORIES = {
  blitz: {
    acts: [
      ['hand on', (a) => a.click('[data-clock=p1] .face-button'), (a) => says(a, 'p1', /1 move/)],
    ],
  },
  classical: {
    fill: { '[name=cycles]': '1' },
    acts: [
      ['nothing yet', null, (a) => says(a, 'p1', /Stage 1 of 2 · 1 move to go/)],
      ['hand on', (a) => a.click('[data-command=switch]'), async (a) => {
        await says(a, 'p1', /Stage 2 of 2/);
        assert.ok((await shown(a, 'p1')) > 120 * 60_000);
      }],
    ],
  },
  delay: {
    acts: [
      ['the delay first', null, async (a) => {
        await says(a, 'p1', /Delay 0:0[1-5]\.\d/);
        assert.equal(await shown(a, 'p1'), 25 * 60_000);
      }],
      ['pause', (a) => a.click('[data-command=pause]'), (a) => says(a, 'p1', /Paused/)],
    ],
  },
  byoyomi: {
    fill: { '[name=minutes]': '0' },
    acts: [
      ['in overtime at once', null, (a) => says(a, 'p1', /Period 1 of 5/)],
      ['hand on', (a) => a.click('[data-command=switch]'), async (a) => assert.equal(await shown(a, 'p1'), 30_000)],
    ],
  },
  canadian: {
    fill: { '[name=minutes]': '0', '[name=cycles]': '3' },
    acts: [
      ['hand on', (a) => a.click('[data-command=switch]'), (a) => says(a, 'p1', /2 moves to go/)],
    ],
  },
  hourglass: {
    acts: [
      ['the sum stays', null, async (a) => {
        const both = await a.evaluate(() => Object.values(window.synckairos.sample().clocks).map((one) => one.shownMs));
        assert.ok(Math.abs(both[0] + both[1] - 120_000) < 1e-3);
      }],
    ],
  },
  team: {
    acts: [
      ['another of the team', (a) => a.click('[data-member=g1p2]'), async (a) => {
        assert.equal(await a.evaluate(() => window.synckairos.session.active_participant_id), 'g1p2');
        assert.equal(await a.getAttribute('[data-member=g1p2]', 'aria-pressed'), 'true');
      }],
      ['the other team', (a) => a.click('[data-clock=g1] .face-button'), (a) => says(a, 'g2', /Running/)],
    ],
  },
  poker: {
    fill: { '[name=cycle]': '1' },
    acts: [
      ['the bank, with no message', (a) => a.waitForFunction(() => window.synckairos.sample().clocks.p1.shownMs > 10_000), (a) => says(a, 'p1', /On the bank/), 'unsaid'],
      ['straight to another', async (a) => {
        await a.click('[data-clock=p4] .face-button');
        await a.click('[data-clock=p4] [data-key=next]');
      }, (a) => says(a, 'p4', /Running/)],
    ],
  },
  quiz: {
    fill: { '[name=cycle]': '3' },
    acts: [
      ['the next by itself', (a) => a.waitForFunction(() => window.synckairos.session.active_participant_id !== 'p1'), (a) => says(a, 'p1', /1 answer/)],
    ],
  },
  auction: {
    fill: { '[name=minutes]': '0.4' },
    acts: [
      ['a bid', (a) => a.click('[data-command=extend]'), async (a) => assert.ok((await shown(a, 'session')) > 29_000)],
      ['another', (_a, b) => b.click('[data-command=extend]'), (a) => says(a, 'session', /Bid → 0:30/)],
    ],
  },
  meeting: {
    fill: { '[name=column] >> nth=0': '0.04' },
    acts: [
      ['over time', (a) => a.waitForFunction(() => window.synckairos.session.participants[0].has_expired), async (a) => {
        await says(a, 'p1', /Over time.*\+0:0\d\.\d/);
      }],
      ['the next item', (a) => a.click('[data-command=switch]'), (a) => says(a, 'p2', /Running/)],
      ['one item less', (a) => pressTwice(a, '[data-clock=p3] [data-key=remove]'), async (a) => assert.equal(await a.locator('.face').count(), 3)],
    ],
  },
  breakout: {
    acts: [
      ['one pauses', (a) => a.click('[data-clock=g2] [data-key=pause]'), async (a) => {
        await says(a, 'g2', /Paused/);
        await says(a, 'g1', /Running/);
      }],
      ['and goes on', (_a, b) => b.click('[data-clock=g2] [data-key=resume]'), (a) => says(a, 'g2', /Running/)],
      ['one has more', (a) => a.click('[data-clock=g3] [data-key="60000"]'), async (a) => assert.ok((await shown(a, 'g3')) > 10.5 * 60_000)],
      ['one is done', (a) => pressTwice(a, '[data-clock=g1] [data-key=complete]'), (a) => says(a, 'g1', /Finished/)],
    ],
  },
  exam: {
    fill: { '#how-many': '30' },
    acts: [
      ['all at once, one for longer', null, async (a) => {
        assert.equal(await a.locator('.face[data-look=running]').count(), 30);
        assert.ok((await shown(a, 'p6')) - (await shown(a, 'p5')) > 22 * 60_000);
      }],
      ['one pauses, by keyboard', async (a) => {
        await a.focus('[data-clock=p7] .face-button');
        await a.keyboard.press('Enter');
        await a.focus('[data-clock=p7] [data-key=pause]');
        await a.keyboard.press('Enter');
      }, (a) => says(a, 'p7', /Paused/)],
      ['one comes late', async (_a, b) => {
        await b.fill('#join-name', 'Late');
        await b.press('#join-name', 'Enter');
      }, (a) => says(a, 'p31', /Late.*Running/)],
      ['one has more', async (a) => {
        await a.click('[data-clock=p9] .face-button');
        await a.click('[data-clock=p9] [data-key="300000"]');
      }, async (a) => assert.ok((await shown(a, 'p9')) > 94 * 60_000)],
    ],
  },
  countdown: { acts: [['pause', (a) => a.click('[data-clock=session] .face-button'), (a) => says(a, 'session', /Paused/)]] },
  stopwatch: {
    acts: [
      ['a lap', (a) => a.click('[data-command=switch]'), async (_a, b) => {
        const laps = await b.locator('#laps li span').allTextContents();
        assert.deepEqual(laps, ['Lap 2', 'Lap 1']);
      }],
    ],
  },
};

/** @type {Server} */
let server;
/** @type {Windows} */
let windows;

before(async () => {
  server = await Server.start();
  windows = await Windows.open(server.base);
});

after(async () => {
  await windows.close();
  await server.end();
});

test('every preset has its story', () => {
  assert.deepEqual(Object.keys(STORIES).sort(), PRESETS.map((preset) => preset.key).sort());
});

// Two at a time: most of each is waiting for clocks to settle and for time to pass.
describe('made, run, and the same in both windows', { concurrency: 2 }, () => {
  for (const { key, name } of PRESETS) {
    test(name, async () => {
      const { fill = {}, acts } = STORIES[key];
      const a = await windows.window();
      await make(a, key, fill);
      const b = await windows.window({ path: await a.inputValue('#link'), clockAheadMs: WRONG_BY_MS, ...PHONE });
      await untilSettled(b);
      assert.equal(await b.textContent('#session-title'), name);
      await agree([a, b]);
      await stepped(() => a.click('[data-command=start]'), [a, b]);
      await agree([a, b]);
      for (const [what, act, check, isUnsaid] of acts) {
        if (act && isUnsaid) await act(a, b);
        else if (act) await stepped(() => act(a, b), [a, b]);
        await check(a, b);
        await agree([a, b]).catch((error) => assert.fail(`after ${what}: ${error.message}`));
      }
      await looksRight(b);
      await Promise.all([a, b].map((page) => page.context().close()));
    });
  }
});

test('a late viewer sees earlier laps', async () => {
  const a = await windows.window();
  await make(a, 'stopwatch', {});
  await stepped(() => a.click('[data-command=start]'), [a]);
  await stepped(() => a.click('[data-command=switch]'), [a]);
  await stepped(() => a.click('[data-command=switch]'), [a]);
  const laps = await a.locator('#laps li:not([data-present])').allTextContents();
  const b = await windows.window({ path: await a.inputValue('#link') });
  await b.waitForFunction(() => document.querySelectorAll('#laps li').length === 3);
  assert.deepEqual(await b.locator('#laps li:not([data-present])').allTextContents(), laps);
  await stepped(() => pressTwice(b, '[data-command=reset]'), [a, b]);
  for (const page of [a, b]) assert.equal(await page.locator('#laps').isVisible(), false);
  await Promise.all([a, b].map((page) => page.context().close()));
});

test('the form fits a phone, whatever is chosen', async () => {
  const phone = await windows.window({ ...PHONE, viewport: { width: 320, height: 640 } });
  for (const { key } of PRESETS) {
    await choose(phone, key);
    await looksRight(phone);
  }
  await phone.context().close();
});

test('nothing in any window complained', () => {
  assert.deepEqual(windows.complaints(), []);
});

async function make(page, key, fill) {
  await choose(page, key);
  for (const [input, value] of Object.entries(fill)) {
    await page.fill(input, value);
    await page.locator(input).blur();
  }
  await page.click('#create-button');
  await untilSettled(page);
}

// Until the clock `id` says so: its name, what it does, and the small facts beside it.
function says(page, id, pattern) {
  const isSaid = ([clock, source]) => {
    const parts = document.querySelector(`[data-clock="${clock}"]`)?.querySelectorAll('.face-name, .face-note, .badge') ?? [];
    return new RegExp(source).test([...parts].map((one) => one.textContent).join(' '));
  };
  return page.waitForFunction(isSaid, [id, pattern.source]);
}

function shown(page, id) {
  return page.evaluate((clock) => window.synckairos.shownMs(clock), id);
}

async function looksRight(page) {
  assert.equal(await overhang(page), 0);
  assert.deepEqual(await smallTargets(page, TARGET_PX), []);
}
