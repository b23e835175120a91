/** A React app by Vite, as a newcomer has it: installed from a lock file, and the package under test added by name. */

import { spawn } from 'node:child_process';
import { appendFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../service/server.mjs';
import { pack, run, scratch } from './package-files.mjs';
import { serveRegistry } from './registry.mjs';

const EMPTY = fileURLToPath(new URL('app/', import.meta.url));

export class App {
  #processes = [];

  /** An empty app; `npm install @synckairos/client` finds the package in it. */
  static async make() {
    const app = new App();
    app.place = await scratch('app');
    app.folder = join(app.place.folder, 'app');
    await cp(EMPTY, app.folder, { recursive: true, filter: (path) => !path.includes('node_modules') });
    await run('npm', ['ci', '--prefer-offline'], { cwd: app.folder });
    app.registry = await serveRegistry(await pack(app.place.folder));
    await appendFile(join(app.folder, '.npmrc'), `@synckairos:registry=${app.registry.base}/\n`);
    return app;
  }

  /** A command line as somebody types it, to its end. */
  type(line) {
    return run('sh', ['-c', line], { cwd: this.folder });
  }

  /**
   * A command line that goes on; the address of the page that it serves.
   *
   * @param {string} line
   * @returns {Promise<string>}
   */
  serve(line) {
    const child = spawn('sh', ['-c', `exec ${line}`], { cwd: this.folder, detached: true, env: { ...process.env, NO_COLOR: '1' } });
    this.#processes.push(child);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
    return until(`an address of ${line}`, () => {
      if (child.exitCode !== null) throw new Error(`${line} ended: ${said}`);
      return /https?:\/\/\S+:\d+/.exec(said)?.[0];
    }, 30_000);
  }

  async end() {
    // The group of each: npm starts others.
    for (const { pid } of this.#processes) process.kill(-pid, 'SIGKILL');
    this.registry?.close();
    await this.place.remove();
  }
}
