/** What `npm pack` makes: its files, its entries, and how large they are for an app. */

import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { SDK, pack, run, scratch } from './package-files.mjs';

// What it weighs today, and a little. The goal is 12 KB, and 14 KB with the hooks.
const MAX_KB = { alone: 16.5, withReact: 18.5 };

let place;
let names;
let installed;

before(async () => {
  place = await scratch('package');
  const packed = await pack(place.folder);
  names = packed.names;
  installed = join(place.folder, 'node_modules/@synckairos/client');
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', packed.file, '--strip-components=1', '-C', installed]);
});

after(() => place.remove());

test('it holds every source with its types, the licences, the changelog and the usage, and nothing else', async () => {
  const sources = (await readdir(SDK)).filter((name) => name.endsWith('.js'));
  const types = sources.map((name) => `types/${name.replace('.js', '.d.ts')}`);
  const texts = ['CHANGELOG.md', 'LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json'];
  assert.deepEqual([...names].sort(), [...sources, ...types, ...texts].sort());
});

test('it may be published, needs nothing but React where React is used, and its changelog tells its version', async () => {
  const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'));
  assert.equal(manifest.private, undefined);
  assert.equal(manifest.dependencies, undefined);
  assert.deepEqual(manifest.peerDependencies, { react: '>=18 <20' });
  assert.match(await readFile(join(installed, 'CHANGELOG.md'), 'utf8'), new RegExp(`^## ${manifest.version.replaceAll('.', '\\.')}$`, 'm'));
});

test('Node imports it without React, and an import starts nothing', async () => {
  const script = "const all = await import('@synckairos/client'); console.log(Object.keys(all).length, process.getActiveResourcesInfo().length === before);";
  const file = join(place.folder, 'import.mjs');
  await writeFile(file, `const before = process.getActiveResourcesInfo().length;\n${script}`);
  assert.match(await run(process.execPath, [file]), /^\d\d+ true$/m);
});

test('only its entries can be imported', async () => {
  const file = join(place.folder, 'deep.mjs');
  await writeFile(file, "await import('@synckairos/client/connection.js').catch((error) => console.log(error.code));");
  assert.match(await run(process.execPath, [file]), /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

test(`an app carries at most ${MAX_KB.alone} KB of it, minified and gzipped, and ${MAX_KB.withReact} KB with the hooks`, async (context) => {
  const sizes = {
    alone: await kilobytes("export * from '@synckairos/client';"),
    withReact: await kilobytes("export * from '@synckairos/client'; export * from '@synckairos/client/react';"),
  };
  context.diagnostic(`${sizes.alone.toFixed(2)} KB, with React ${sizes.withReact.toFixed(2)} KB`);
  for (const [name, most] of Object.entries(MAX_KB)) assert.ok(sizes[name] <= most, `${name}: ${sizes[name].toFixed(2)} KB`);
});

async function kilobytes(contents) {
  const { outputFiles: [{ contents: text }] } = await build({
    stdin: { contents, resolveDir: place.folder }, bundle: true, minify: true, format: 'esm', target: 'es2022',
    external: ['react'], write: false, legalComments: 'none',
  });
  return gzipSync(text, { level: 9 }).length / 1024;
}
