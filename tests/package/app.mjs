/** A React app by Vite, as a newcomer has it: installed from a lock file, and the package under test added by name. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../service/server.mjs';
import { pack, run, scratch } from './package-files.mjs';
import { serveRegistry } from './registry.mjs';

const EMPTY = fileURLToPath(new URL('app/', import.meta.url));

export class App {
  /** What the last command that serves said. */
  said = '';
  #processes = [];

  /** An empty app; `npm install @synckairos/client` finds the package in it. */
  static async make() {
    const app = new App();
    app.place = await scratch('app');
    app.folder = join(app.place.folder, 'app');
    try {
      await app.#install();
      return app;
    } catch (error) {
      await app.end();
      throw error;
    }
  }

  async #install() {
    await cp(EMPTY, this.folder, { recursive: true, filter: (path) => !path.includes('node_modules') });
    await run('npm', ['ci', '--prefer-offline'], { cwd: this.folder });
    this.registry = await serveRegistry(await pack(this.place.folder));
    await appendFile(join(this.folder, '.npmrc'), `@synckairos:registry=${this.registry.base}/\n`);
  }

  /** A command line as somebody types it, to its end. */
  type(line) {
    return run('sh', ['-c', line], { cwd: this.folder });
  }

  /**
   * A command line that goes on; the address of the page that it serves.
   *
   * @param {string} line
   * @param {string} [address] Where it serves, if it does not say so.
   * @param {Record<string, string>} [env]
   * @returns {Promise<string>}
   */
  serve(line, address, env = {}) {
    const options = { cwd: this.folder, detached: true, env: { ...process.env, NO_COLOR: '1', ...env } };
    const child = spawn('sh', ['-c', `exec ${line}`], options);
    this.#processes.push(child);
    this.said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (this.said += text));
    return until(`an address of ${line}`, () => {
      if (child.exitCode !== null) throw new Error(`${line} ended: ${this.said}`);
      return address ? isServed(address) : /https?:\/\/\S+:\d+/.exec(this.said)?.[0];
    }, 30_000);
  }

  /** Ends what serves. */
  async stop() {
    const ending = this.#processes.splice(0);
    // The group of each: npm starts others.
    for (const { pid } of ending) process.kill(-pid, 'SIGKILL');
    await Promise.all(ending.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')));
  }

  async end() {
    await this.stop();
    this.registry?.close();
    await this.place.remove();
  }
}

async function isServed(address) {
  return fetch(address).then(() => address, () => null);
}
