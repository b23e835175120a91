/**
 * Clocks of every length, from minutes to a century, on every width of screen: nothing of them is cut off.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node digits.mjs
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server } from '../service/server.mjs';
import { Windows, cutOff, overhang, untilSettled } from './windows.mjs';

const WIDTHS = [320, 375, 600, 844, 1280, 1920];
const LEAST_PX = 13;
const HOUR = 3_600_000;
const LENGTHS = {
  '4:59': 299_000,
  '59:59': HOUR - 1000,
  '9:59:59': 10 * HOUR - 1000,
  '10:00:00': 10 * HOUR,
  '99:59:59': 100 * HOUR - 1000,
  '876600:00:00': 876_600 * HOUR,
};

const people = (count) => Array.from({ length: count }, (_one, at) => ({ participant_id: `p${at + 1}`, metadata: { name: `Somebody ${at + 1}` } }));

const ARRANGEMENTS = {
  'one clock': (ms) => ({ sync_mode: 'global', total_time_ms: ms }),
  'two players': (ms) => ({ sync_mode: 'per_participant', total_time_ms: ms, participants: people(2) }),
  'three with a bank': (ms) => ({ sync_mode: 'per_cycle', time_per_cycle_ms: ms, total_time_ms: ms, participants: people(3) }),
  'four teams': (ms) => ({ sync_mode: 'per_group', total_time_ms: ms, groups: ['a', 'b', 'c', 'd'].map((id) => ({ group_id: id })), participants: people(4).map((one, at) => ({ ...one, group_id: 'abcd'[at] })) }),
  'eight at a table': (ms) => ({ sync_mode: 'per_participant', total_time_ms: ms, participants: people(8) }),
  'thirty candidates': (ms) => ({ sync_mode: 'per_participant', concurrency: 'simultaneous', total_time_ms: ms, participants: people(30) }),
};

/** @type {Windows} */
let windows;
/** @type {Server} */
let server;

before(async () => {
  server = await Server.start();
  windows = await Windows.open(server.base);
});

after(async () => {
  await windows.close();
  await server?.end();
});

describe('digits stay inside their clock', { concurrency: 2 }, () => {
  for (const [name, config] of Object.entries(ARRANGEMENTS)) {
    for (const [text, ms] of Object.entries(LENGTHS)) {
      test(`${name}, ${text}`, async () => {
        const { session_id: id } = await server.ask('POST', '/v1/sessions', config(ms));
        const page = await windows.window({ path: `/?session=${id}` });
        await untilSettled(page);
        await page.waitForFunction((wanted) => document.querySelector('.digits')?.textContent.startsWith(wanted), text);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: width > 700 ? 800 : 667 });
          assert.deepEqual(await cutOff(page), [], `${width} px wide`);
          assert.equal(await overhang(page), 0, `${width} px wide`);
          assert.ok((await smallestDigits(page)) >= LEAST_PX, `${width} px wide: digits of ${await smallestDigits(page)} px`);
        }
        await page.context().close();
      });
    }
  }
});

test('a phone on the table shows a century', async () => {
  const { session_id: id } = await server.ask('POST', '/v1/sessions', ARRANGEMENTS['two players'](876_600 * HOUR));
  const page = await windows.window({ path: `/?session=${id}`, viewport: { width: 844, height: 390 }, hasTouch: true, isMobile: true });
  await untilSettled(page);
  assert.deepEqual(await cutOff(page), []);
  await page.context().close();
});

test('a stopwatch that grows past ten hours shrinks to fit', async () => {
  const { session_id: id } = await server.ask('POST', '/v1/sessions', { sync_mode: 'count_up' });
  const page = await windows.window({ path: `/?session=${id}`, viewport: { width: 375, height: 667 } });
  await untilSettled(page);
  const short = await smallestDigits(page);
  await page.evaluate(() => {
    const digits = document.querySelector('.digits-main');
    document.querySelector('.digits-fraction').textContent = '';
    digits.textContent = '100:00:00';
    digits.closest('.face').style.setProperty('--letters', '9');
  });
  assert.ok((await smallestDigits(page)) < short);
  assert.deepEqual(await cutOff(page), []);
  await page.context().close();
});

test('nothing in any window complained', () => {
  assert.deepEqual(windows.complaints(), []);
});

function smallestDigits(page) {
  return page.evaluate(() => Math.min(...[...document.querySelectorAll('.digits')].map((one) => Number.parseFloat(getComputedStyle(one).fontSize))));
}
