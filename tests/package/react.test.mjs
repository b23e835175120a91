/** The React hooks in real Chromium and on a server, with both releases of React, against a running service. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { build } from 'esbuild';
import { Windows } from '../browser/windows.mjs';
import { Server, until } from '../service/server.mjs';
import { run, scratch } from './package-files.mjs';
import { countHeld } from './react/counting.mjs';

const HTML = '<!doctype html><link rel="icon" href="data:,"><div id="root"></div><script src="/page.js"></script>';

const NOTHING_HELD = { timers: 0, frames: 0, requests: 0, sockets: 0 };

/** @type {Server} */
let server;
/** @type {Windows} */
let windows;
let place;

before(async () => {
  [server, windows, place] = await Promise.all([Server.start(), Windows.open(), scratch('react')]);
});

after(async () => {
  await windows?.close();
  await server?.end();
  await place?.remove();
});

for (const release of ['18', '19']) describe(`React ${release}`, { timeout: 120_000 }, () => suite(release));

function suite(release) {
  let script;
  let page;

  before(async () => {
    script = await bundled('page.jsx', release, { platform: 'browser' });
  });

  const opened = async (props, html = '') => {
    page = await windows.browser.newPage();
    page.setDefaultTimeout(15_000);
    await page.addInitScript(countHeld);
    await page.route('**/page.js', (route) => route.fulfill({ contentType: 'text/javascript', body: script }));
    const errors = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (said) => said.type() === 'error' && errors.push(said.text()));
    // An address of the service itself: Chromium lets a document that came from elsewhere open no socket to this host.
    await page.goto(`${server.base}/health`);
    await page.setContent(HTML.replace('></div>', `>${html}</div>`));
    await page.evaluate((given) => window.mount(given), props);
    return { page, errors };
  };

  const close = async ({ errors }) => {
    await page.close();
    assert.deepEqual(errors, []);
  };

  test('a clock runs, and its commands are buttons', async () => {
    const id = await server.createBlitz();
    const opening = await opened({ id });
    await shows(page, '#clock', '5:00.0');
    await shows(page, '#connected', 'true');
    await page.click('#start');
    await shows(page, '#status', 'running');
    await page.waitForFunction(() => /^4:59/.test(document.getElementById('clock').textContent));
    await page.click('#switch');
    await page.waitForFunction(() => window.view.activeParticipantId === 'p2');
    await page.click('#pause');
    await shows(page, '#status', 'paused');
    await page.click('#resume');
    await shows(page, '#status', 'running');
    await page.click('#complete');
    await shows(page, '#status', 'completed');
    assert.equal((await server.ask('GET', `/v1/sessions/${id}`)).status, 'completed');
    await close(opening);
  });

  test('it draws only what it shows: ten times a second in tenths, never while the clock stands', async () => {
    const id = await server.createBlitz();
    const opening = await opened({ id, parts: ['clock', 'second', 'silent'] });
    await server.command(id, 'start');
    await shows(page, '#status', 'running');
    await page.waitForFunction(() => /p1 299/.test(document.getElementById('second').textContent));
    const running = await drawnIn(page, 2000);
    // StrictMode renders twice.
    assert.ok(running.clock >= 2 * 15 && running.clock <= 2 * 23, `${running.clock / 2} times in 2 s, in tenths`);
    assert.ok(running.second >= 2 && running.second <= 2 * 3, `${running.second / 2} times in 2 s, in seconds`);
    assert.equal(running.silent, 0, 'it shows no time');
    await server.command(id, 'pause');
    await shows(page, '#status', 'paused');
    assert.deepEqual(await drawnIn(page, 1000), { clock: 0, second: 0, silent: 0, now: 0, time: 0 });
    await close(opening);
  });

  test('a hidden page draws nothing, and is right when it is seen again', async () => {
    const id = await server.createBlitz();
    const opening = await opened({ id, parts: ['clock', 'silent', 'now'] });
    await shows(page, '#clock', '5:00.0');
    await server.command(id, 'start');
    await shows(page, '#status', 'running');
    await page.evaluate(() => {
      window.isHidden = true;
    });
    await drawnIn(page, 100);
    const hidden = drawnIn(page, 1000);
    await server.command(id, 'adjust', { participant_id: 'p2', add_ms: 1000 });
    const { clock, silent, now } = await hidden;
    assert.deepEqual([clock, silent, now], [0, 0, 0]);
    await page.evaluate(() => window.show());
    await shows(page, '#silent', '3');
    await page.waitForFunction(() => {
      const [minutes, seconds] = document.getElementById('clock').textContent.split(':');
      return Math.abs(minutes * 60_000 + seconds * 1000 - window.view.getParticipantTime()) < 200;
    });
    await close(opening);
  });

  test('two hundred changes at once are drawn frame by frame, and the last one stands', async () => {
    const id = await server.createBlitz();
    const opening = await opened({ id, parts: ['silent'] });
    await shows(page, '#silent', '1');
    const frames = page.evaluate(() => new Promise((done) => {
      let frames = 0;
      const drawn = window.drawn.silent;
      const look = () => {
        frames += 1;
        if (document.getElementById('silent').textContent === '201') done({ frames, drawn: window.drawn.silent - drawn });
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }));
    const commands = Array.from({ length: 200 }, () => ({ session_id: id, command: 'adjust', participant_id: 'p1', add_ms: 1 }));
    await server.ask('POST', '/v1/sessions/batch', { commands });
    const { frames: count, drawn } = await frames;
    assert.ok(drawn / 2 <= count + 1, `${drawn / 2} drawings in ${count} frames`);
    await close(opening);
  });

  test('components share one stream, and unmounting leaves nothing behind', async () => {
    const id = await server.createBlitz();
    await server.command(id, 'start');
    // React and the tests' driver add listeners of their own, which stay.
    const opening = await opened({ parts: [] });
    await page.waitForFunction(() => true);
    await page.evaluate(() => window.unmount());
    const before = { ...(await page.evaluate(() => window.held())), ...NOTHING_HELD };
    await page.evaluate((one) => window.mount({ id: one, parts: ['clock', 'second', 'silent', 'now', 'time'] }), id);
    await shows(page, '#status', 'running');
    await page.waitForFunction(() => document.getElementById('time').textContent !== 'none');
    assert.equal(await page.evaluate(() => window.held().sockets), 1);
    await page.evaluate(() => window.unmount());
    // A socket takes a moment to close, and so does a request that is under way, or a last frame of the driver's.
    const left = () => page.evaluate(() => window.held());
    await until('nothing is left', async () => isDeepStrictEqual(await left(), before), 5000).catch(() => {});
    assert.deepEqual(await left(), before);
    assert.equal(await page.evaluate(() => window.sockets), 1, 'StrictMode mounts twice, over one socket');
    await close(opening);
  });

  test('another session in its place is followed alone', async () => {
    const [first, second] = [await server.createBlitz(), await server.createBlitz({ total_time_ms: 60_000 })];
    const opening = await opened({ id: first });
    await shows(page, '#clock', '5:00.0');
    await page.evaluate((id) => window.again({ id }), second);
    await shows(page, '#clock', '1:00.0');
    assert.equal(await page.evaluate((id) => window.client.state(id), first), 'idle');
    await page.evaluate(() => window.again({ id: null }));
    await shows(page, '#status', 'none');
    assert.equal(await page.evaluate((id) => window.client.state(id), second), 'idle');
    await close(opening);
  });

  test('without a provider the client is for the page itself', async () => {
    const opening = await opened({ aloneId: await server.createBlitz() });
    await shows(page, '#alone', '5:00');
    await close(opening);
  });

  test('a refusal is the error, and the next success clears it', async () => {
    const id = await server.createBlitz();
    const opening = await opened({ id, participantId: 'p2' });
    await shows(page, '#clock', '5:00.0');
    await page.click('#pause');
    await shows(page, '#error', 'not_running');
    await page.click('#start');
    await shows(page, '#error', 'none');
    await page.click('#switch');
    await shows(page, '#error', 'not_active');
    await server.ask('DELETE', `/v1/sessions/${id}`);
    await shows(page, '#connected', 'false');
    await shows(page, '#error', 'session_deleted');
    await page.close();
  });

  test('a session that is not there says so, and only there', async () => {
    await opened({ id: await server.createBlitz(), otherId: 'no-such-session' });
    await shows(page, '#other', 'session_not_found');
    await shows(page, '#clock', '5:00.0');
    await drawnIn(page, 100);
    assert.equal(await page.textContent('#error'), 'none');
    await page.close();
  });

  test('a scheduled start is drawn at its instant', async () => {
    const id = await server.createBlitz();
    const opening = await opened({ id });
    await shows(page, '#status', 'pending');
    const at = Date.now() + 1500;
    await server.command(id, 'start', { at });
    await shows(page, '#status', 'running');
    const lateMs = await page.evaluate((from) => window.client.getServerTime() - from, at);
    assert.ok(lateMs >= 0 && lateMs < 500, `${lateMs} ms after it`);
    await close(opening);
  });

  test('the time of the server goes on with the frames', async () => {
    const opening = await opened({ parts: ['now', 'time'] });
    await page.waitForFunction(() => document.getElementById('time').textContent !== 'none');
    const before = Number(await page.textContent('#now'));
    const { now } = await drawnIn(page, 500);
    assert.ok(Number(await page.textContent('#now')) - before >= 450);
    assert.ok(now > 10, `${now} times in 500 ms`);
    const [offset, uncertainty] = (await page.textContent('#time')).split(' ').map(Number);
    assert.ok(Math.abs(offset) <= uncertainty + 5, `${offset} ms, ± ${uncertainty} ms; the true offset is 0`);
    await page.evaluate(() => window.again({ parts: [] }));
    await page.evaluate(() => window.again({ parts: ['time'] }));
    // Nothing measures any more: what was measured before stands.
    await page.waitForFunction(() => /^-?[\d.]+ [\d.]+$/.test(document.getElementById('time')?.textContent));
    await close(opening);
  });

  test('a server renders it without a timer, and a page takes it over', async () => {
    const file = join(place.folder, `server-${release}.mjs`);
    await bundled('server.jsx', release, { platform: 'node', outfile: file });
    const { html: [html, without], left } = JSON.parse(await run(process.execPath, [file]));
    assert.equal(left, 0);
    assert.match(html, /id="clock">0:00/);
    assert.equal(without, html);
    const id = await server.createBlitz();
    const opening = await opened({ id, parts: ['clock', 'second', 'silent', 'now', 'time'] }, html);
    await shows(page, '#clock', '5:00.0');
    await close(opening);
  });
}

/** The text of a bundle in which `react` is one release. */
async function bundled(name, release, options) {
  const here = (path) => fileURLToPath(new URL(path, import.meta.url));
  const file = options.outfile ?? join(place.folder, `${release}-${name}`);
  await build({
    entryPoints: [here(`react/${name}`)], bundle: true, jsx: 'automatic', format: options.platform === 'node' ? 'esm' : 'iife',
    alias: { react: here(`node_modules/react-${release}`), 'react-dom': here(`node_modules/react-dom-${release}`) },
    define: { 'process.env.NODE_ENV': '"development"' }, nodePaths: [here('node_modules')], logLevel: 'error',
    banner: options.platform === 'node' ? { js: "import { createRequire } from 'node:module'; const require = createRequire('/');" } : {},
    ...options, outfile: file,
  });
  return readFile(file, 'utf8');
}

async function shows(page, selector, text) {
  const isShown = ([where, wanted]) => document.querySelector(where)?.textContent === wanted;
  await page.waitForFunction(isShown, [selector, text]).catch(async (error) => {
    assert.equal(await page.textContent(selector), text);
    throw error;
  });
}

/** How often each part was drawn within a span. */
function drawnIn(page, ms) {
  return page.evaluate(async (span) => {
    const before = { ...window.drawn };
    await new Promise((done) => window.setTimeout(done, span));
    return Object.fromEntries(Object.entries(window.drawn).map(([name, count]) => [name, count - before[name]]));
  }, ms);
}
