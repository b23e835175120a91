/** The package as `npm pack` makes it, and the commands around it. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const HERE = new URL('.', import.meta.url);

/** The library's sources. */
export const SDK = fileURLToPath(new URL('../../sdk/', HERE));

/** The repository. */
export const ROOT = fileURLToPath(new URL('../../', HERE));

/** The compilers of these tests' lock file: the one that makes the types, and the one before it. */
export const TSC = fileURLToPath(new URL('node_modules/typescript/bin/tsc', HERE));
export const EARLIER_TSC = fileURLToPath(new URL('node_modules/typescript-5/bin/tsc', HERE));

/** A folder of a test of its own, and what removes it. */
export async function scratch(name) {
  const folder = await mkdtemp(join(tmpdir(), `synckairos-${name}-`));
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/**
 * Runs a program to its end, and fails with all it said if it does not end well.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{cwd?: string, env?: Record<string, string|undefined>}} [options]
 * @returns {Promise<string>}
 */
export async function run(program, args, options = {}) {
  try {
    const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 1 << 26, ...options });
    return stdout;
  } catch (error) {
    throw new Error(`${program} ${args.join(' ')}: ${error.message}\n${error.stdout}\n${error.stderr}`, { cause: error });
  }
}

/**
 * Packs the library, its types generated.
 *
 * @param {string} folder
 * @returns {Promise<{file: string, names: string[], manifest: any}>} The tarball, and the files in it.
 */
export async function pack(folder) {
  const said = JSON.parse(await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: SDK }));
  const [packed] = Array.isArray(said) ? said : Object.values(said);
  return { file: join(folder, packed.filename), names: packed.files.map((one) => one.path), manifest: packed };
}
