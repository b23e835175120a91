/** JSON of the service as TypeScript that compiles only if the library's types describe it, field by field. */

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './package-files.mjs';

/**
 * `const NAME: TYPE[] = [...]`, one value a line. A literal may hold no field that its type lacks.
 *
 * @param {string} name
 * @param {string} type
 * @param {any[]} values
 */
export function constants(name, type, values) {
  return `export const ${name}: (${type})[] = [\n${values.map((value) => `  ${JSON.stringify(value)},\n`).join('')}];\n`;
}

/** All vectors of the clock rules that the service accepts; without `null`, which counts as absent. */
export function vectors() {
  const folder = join(ROOT, 'tests/conformance');
  const names = readdirSync(folder).filter((name) => !name.startsWith('refused'));
  return names.flatMap((name) => read(join(folder, name))).map((one) => ({ ...one, create: present(one.create) }));
}

/** What the golden files hold. */
export const golden = {
  /** Of sessions that are there: a deleted one is told by `SESSION_DELETED`. */
  projections: () => read(join(ROOT, 'tests/golden/projections.json')).map((one) => one.snapshot).filter((one) => one.status !== 'deleted'),
  changes: () => lines(join(ROOT, 'tests/golden/changes.jsonl')),
};

/**
 * The names of the fields in the tables of a chapter of docs/API.md.
 *
 * @param {string} title
 */
export function documented(title) {
  const text = readFileSync(join(ROOT, 'docs/API.md'), 'utf8');
  const chapter = text.split(/^##+ /m).find((one) => one.startsWith(`${title}\n`));
  const tables = chapter.split(/\n\n/).filter((block) => /^\| (field|`time_control`) \|/m.test(block));
  const rows = tables.flatMap((table) => [...table.matchAll(/^\| (`[a-z_]+`(?:[^|]*?)) \|/gm)]);
  return rows.flatMap(([, cell]) => [...cell.matchAll(/`([a-z_]+)`/g)].map(([, name]) => name));
}

function present(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function read(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function lines(file) {
  return readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
}
