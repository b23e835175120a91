/** The five minutes of the package's README, word for word: its commands are typed, and its files written. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Windows } from '../browser/windows.mjs';
import { Server } from '../service/server.mjs';
import { App } from './app.mjs';
import { SDK } from './package-files.mjs';

// The only word that is changed: the tests' service listens elsewhere.
const SERVICE = 'http://localhost:8080';

const WITHIN_MS = 50;

// Of one core, by the page's own thread. Painting is the browser's: here it has no graphics card, so ten texts a second
// cost the process 2 % with nothing but `setInterval`. On a machine where they cost the thread more than 1 %, a clock may
// cost twice that.
const MAX_CPU_PERCENT = 2;

let app;
let server;
let windows;
let pages;
let address;

before(async () => {
  server = await Server.start();
  windows = await Windows.open();
  app = await App.make();
});

after(async () => {
  await windows?.close();
  await app?.end();
  await server?.end();
});

test('its commands and files make an app that compiles and is built', async (context) => {
  const blocks = blocksOf(await readFile(join(SDK, 'README.md'), 'utf8'));
  assert.deepEqual(blocks.map(({ file, text }) => file ?? text.trim()), ['npm install @synckairos/client', 'vite.config.ts', 'src/App.tsx', 'npm run dev']);
  const began = performance.now();
  await app.type(blocks[0].text);
  for (const { file, text } of blocks.slice(1, 3)) await writeFile(join(app.folder, file), text.replace(SERVICE, server.base));
  address = await app.serve(blocks[3].text.trim());
  context.diagnostic(`from the install to a page that is served: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  await app.type('npm run build');
});

test('a clock that is made in one window runs alike in a second one', async (context) => {
  const first = await windows.window({ path: address });
  await first.click('text=New clock');
  await first.waitForSelector('text=1:00.0');
  const second = await windows.window({ path: first.url(), clockAheadMs: 3_600_000 });
  const isOfService = (socket) => socket.url().endsWith('/v1/ws?heartbeat_ms=3000');
  await Promise.all([second.waitForEvent('websocket', isOfService), second.reload()]);
  pages = [first, second];
  await second.click('text=Start');
  for (const page of pages) await page.waitForSelector('text=Pause');
  const [one, other] = await Promise.all(pages.map(changes));
  const apart = Object.keys(one).filter((text) => text in other).map((text) => Math.abs(one[text] - other[text])).sort((a, b) => a - b);
  assert.ok(apart.length >= 10, `${apart.length} texts seen in both`);
  const median = apart[Math.floor(apart.length / 2)];
  context.diagnostic(`the digits of both windows changed ${median} ms apart (median of ${apart.length})`);
  assert.ok(median <= WITHIN_MS, `half of the digits came more than ${median} ms apart`);
  await first.click('text=Pause');
  await second.click('text=Resume');
  await first.waitForSelector('text=Pause');
});

test('the built app does the same, at little cost', async (context) => {
  const page = await windows.window({ path: await app.serve('npm run preview') });
  await page.click('text=New clock');
  await page.click('text=Start');
  await page.waitForSelector('text=0:59');
  const { thread, process } = await cpuShares(page, 10_000);
  const plain = await cpuShares(await plainPage(new URL('/', page.url()).href), 10_000);
  context.diagnostic(`a page with one running clock takes ${thread} % of a core, with the painting ${process} %`);
  context.diagnostic(`ten texts a second without the library take ${plain.thread} %`);
  assert.ok(thread < MAX_CPU_PERCENT * Math.max(1, plain.thread), `${thread} % of a core, ${plain.thread} % without the library`);
});

test('nothing complained', () => assert.deepEqual(windows.complaints(), []));

/** The code blocks, in order; the first line of a file is a comment with its name. */
function blocksOf(text) {
  return [...text.matchAll(/^```\w+\n(\/\/ (\S+)\n)?([\s\S]*?)^```$/gm)].map(([, , file, body]) => ({ file, text: body }));
}

/** The same page without the app: ten texts a second are all that happens. */
async function plainPage(path) {
  const page = await windows.window({ path });
  await page.evaluate(() => {
    document.body.innerHTML = '<h1></h1>';
    const digits = document.querySelector('h1');
    let tenths = 0;
    setInterval(() => (digits.textContent = `0:${(tenths += 1) / 10}`), 100);
  });
  return page;
}

/** How many percent of a core the page takes while nothing happens but the time: its own thread, and all of its process. */
async function cpuShares(page, ms) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
  const before = await metricsOf(cdp);
  await page.evaluate((span) => new Promise((done) => setTimeout(done, span)), ms);
  const now = await metricsOf(cdp);
  const percent = (name) => Math.round((now[name] - before[name]) * 10_000_000 / ms) / 100;
  return { thread: percent('ThreadTime'), process: percent('ProcessTime') };
}

/** In seconds of CPU time. */
async function metricsOf(cdp) {
  const { metrics } = await cdp.send('Performance.getMetrics');
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
}

/** When each text came on the screen, by the true time, for two seconds. */
function changes(page) {
  return page.evaluate(() => new Promise((done) => {
    const seen = {};
    const digits = document.querySelector('h1');
    const observer = new MutationObserver(() => (seen[digits.textContent] ??= window.trueNow()));
    observer.observe(digits, { subtree: true, childList: true, characterData: true });
    setTimeout(() => done(seen), 2000);
  }));
}
