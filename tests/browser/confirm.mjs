/**
 * What cannot be taken back asks first, on the same spot, and takes no slip of the finger for an answer.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node confirm.mjs
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server } from '../service/server.mjs';
import { stepped } from './agreement.mjs';
import { Windows, pressTwice, untilSettled, versionOf } from './windows.mjs';

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

async function running() {
  const id = await server.createBlitz();
  await server.command(id, 'start');
  const page = await windows.window({ path: `/?session=${id}` });
  await untilSettled(page);
  return { page };
}

test('one press of reset changes nothing, the second resets', async () => {
  const { page } = await running();
  const version = await versionOf(page);
  await page.click('[data-command=reset]');
  assert.equal(await page.locator('[data-command=reset]').textContent(), 'Really reset?');
  // Whatever else is pressed comes after it.
  await stepped(() => page.click('[data-clock=p1] [data-key="15000"]'), [page]);
  assert.equal(await versionOf(page), version + 1);
  assert.equal(await page.locator('[data-command=reset]').textContent(), 'Really reset?', 'it still asks after news');
  await stepped(() => page.click('[data-command=reset]'), [page]);
  assert.equal(await page.evaluate(() => window.synckairos.session.status), 'pending');
  await page.context().close();
});

test('a double click and a held key are one press', async () => {
  const { page } = await running();
  const version = await versionOf(page);
  await page.dblclick('[data-command=reset]');
  await page.waitForSelector('[data-command=reset]:not([data-first])');
  await page.focus('[data-command=reset]');
  for (let down = 0; down < 5; down += 1) await page.keyboard.down('Enter');
  await page.keyboard.up('Enter');
  assert.ok(await page.locator('[data-command=reset][data-first]').isVisible());
  await stepped(() => page.click('[data-clock=p1] [data-key="15000"]'), [page]);
  assert.equal(await versionOf(page), version + 1);
  await page.context().close();
});

test('a question is taken back after a while, and asked anew in full', async () => {
  const { page } = await running();
  await page.click('[data-command=reset]');
  await page.waitForSelector('[data-command=reset]:not([data-first])');
  assert.equal(await page.locator('[data-command=reset]').textContent(), 'Reset');
  await stepped(() => pressTwice(page, '[data-command=reset]'), [page]);
  await page.context().close();
});

test('a start that is still to come is called off with one press', async () => {
  const { page } = await running();
  await stepped(() => pressTwice(page, '[data-command=reset]'), [page]);
  await stepped(() => page.click('[data-command="start-together"]'), [page]);
  assert.equal(await page.locator('[data-command=reset]').textContent(), 'Do not start');
  await stepped(() => page.click('[data-command=reset]'), [page]);
  await page.waitForSelector('[data-command=start]:visible');
  await page.context().close();
});

test('nothing in any window complained', () => {
  assert.deepEqual(windows.complaints(), []);
});
