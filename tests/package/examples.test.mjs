/** Every example is started as its table says, with the packed library, and does what it shows. */

import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Windows } from '../browser/windows.mjs';
import { SECRET, signed } from '../browser/tokens.mjs';
import { Server, freePort, until } from '../service/server.mjs';
import { App } from './app.mjs';
import { SDK, run } from './package-files.mjs';

const SERVICE = 'http://localhost:8080';
const EXAMPLES = join(SDK, 'examples');

let app;
let windows;
let server;

before(async () => {
  app = await App.make();
  await app.type('npm install @synckairos/client');
});

beforeEach(async () => {
  windows = await Windows.open();
});

afterEach(async () => {
  await windows.close();
  await server?.end();
});

after(() => app?.end());

test('curl: a countdown from a shell', async () => {
  server = await Server.start();
  const said = await run('sh', [join(EXAMPLES, 'curl/countdown.sh'), server.base]);
  assert.match(said, /^session [\w-]+\nSTATE_SYNC\n(HEARTBEAT\n)*TIME_WARNING\n(HEARTBEAT\n)*STATE_UPDATE\nTIME_EXPIRED\n$/);
});

test('plain: a page without a build', async () => {
  const port = await freePort();
  server = await Server.start(undefined, { env: { CORS_ORIGINS: `http://localhost:${port}` } });
  await takeExample('plain', { 'countdown.js': [SERVICE, server.base], 'package.json': ['5173', String(port)] });
  await app.serve('npm start', `http://localhost:${port}`);
  const first = await windows.window({ path: `http://localhost:${port}` });
  await first.waitForSelector('text=1:00');
  const second = await windows.window({ path: first.url() });
  await second.click('text=Start');
  await first.waitForSelector('text=Pause');
  await first.waitForSelector('text=0:58');
  await first.click('text=Pause');
  await second.waitForSelector('text=Resume');
  assert.equal(await first.textContent('#digits'), await second.textContent('#digits'));
  assert.deepEqual(windows.complaints(), []);
});

test('react: a chess clock', async () => {
  server = await Server.start();
  await sameVersions('react');
  await takeExample('react', { 'vite.config.ts': [SERVICE, server.base] });
  await app.type('npm run build');
  const page = await windows.window({ path: await app.serve('npm run dev') });
  await page.click('text=New game');
  await page.click('text=Start');
  const other = await windows.window({ path: page.url() });
  await other.click('#white:enabled');
  await page.waitForSelector('#black:enabled');
  await page.click('#black');
  await other.waitForSelector('#white:enabled');
  await other.click('text=Pause');
  await page.waitForSelector('text=Resume');
  assert.match(await page.textContent('#black'), /^black 5:0[12]\.\d$/);
  assert.deepEqual(windows.complaints(), []);
});

test('node: a backend that makes games and gives tokens, and is told of the end', async () => {
  const port = await freePort();
  const env = { JWT_SECRET: SECRET, CORS_ORIGINS: `http://localhost:${port}` };
  server = await Server.start(undefined, { env });
  await takeExample('node', {});
  const token = signed({ role: 'operator' });
  const settings = { SYNCKAIROS_URL: server.base, SYNCKAIROS_TOKEN: token, PORT: String(port), SECONDS: '4' };
  const address = await app.serve('npm start', undefined, settings);
  const white = await windows.window({ path: address });
  await white.waitForFunction(() => document.getElementById('note').textContent.includes('seat=black'));
  const black = await windows.window({ path: await white.textContent('#note') });
  await white.click('#move:enabled');
  await black.click('#move:enabled');
  await white.waitForFunction(() => document.getElementById('seat').textContent === 'white: expired');
  await until('the backend is told', () => app.said.includes('white is out of time in '));
  assert.ok(!(await white.content()).includes(token) && !white.url().includes(token));
  assert.deepEqual(windows.complaints(), []);
});

/** The example in place of the app, with the library that is installed there. */
async function takeExample(name, changes) {
  await app.stop();
  await cp(join(EXAMPLES, name), app.folder, { recursive: true, filter: (path) => !path.includes('node_modules') });
  for (const [file, [from, to]] of Object.entries(changes)) {
    const text = await readFile(join(app.folder, file), 'utf8');
    assert.ok(text.includes(from), `${file} names ${from}`);
    await writeFile(join(app.folder, file), text.replaceAll(from, to));
  }
}

/** The example asks for what the lock file of the tests holds. */
async function sameVersions(name) {
  const manifests = [join(EXAMPLES, name, 'package.json'), new URL('app/package.json', import.meta.url)];
  const [example, locked] = await Promise.all(manifests.map(async (file) => JSON.parse(await readFile(file, 'utf8'))));
  const { '@synckairos/client': own, ...others } = example.dependencies;
  assert.equal(own, `^${JSON.parse(await readFile(join(SDK, 'package.json'), 'utf8')).version}`);
  assert.deepEqual([others, example.devDependencies], [locked.dependencies, locked.devDependencies]);
}
