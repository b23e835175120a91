/** An nginx as a process of its own in front of a server, with the settings of `nginx.conf` beside this file. */

import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, until } from './server.mjs';

const PROGRAM = process.env.SYNCKAIROS_TEST_NGINX ?? '/usr/sbin/nginx';

/** The servers of the configuration, each on a port of its own. */
const SERVERS = ['plain', 'buffered', 'deaf'];

export class Nginx {
  #process = null;
  #said = '';

  /** @param {number} port of the server behind it */
  static async before(port) {
    const nginx = new Nginx();
    nginx.folder = await mkdtemp(join(tmpdir(), 'synckairos-nginx-'));
    // Its workers are another user than root, and keep their own files in there.
    await chmod(nginx.folder, 0o755);
    const ports = Object.fromEntries(await Promise.all(SERVERS.map(async (name) => [name, await freePort()])));
    nginx.bases = Object.fromEntries(SERVERS.map((name) => [name, `http://127.0.0.1:${ports[name]}`]));
    await nginx.#begin({ ...ports, service: port });
    return nginx;
  }

  async end() {
    this.#process.kill('SIGTERM');
    await until('nginx has ended', () => this.#process.exitCode !== null || this.#process.signalCode !== null);
    await rm(this.folder, { recursive: true, force: true });
  }

  async #begin(ports) {
    const written = join(this.folder, 'nginx.conf');
    const settings = await readFile(new URL('nginx.conf', import.meta.url), 'utf8');
    await writeFile(written, settings.replace(/@(\w+)@/g, (_, name) => ports[name]));
    const args = ['-p', this.folder, '-c', written, '-e', 'stderr'];
    this.#process = spawn(PROGRAM, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process.on('error', (error) => (this.#said += error));
    this.#process.stderr.on('data', (text) => (this.#said += text));
    await until('nginx serves', () => this.#isReady());
  }

  async #isReady() {
    if (this.#process.exitCode !== null || !this.#process.pid) throw new Error(`nginx ended at once: ${this.#said}`);
    return fetch(`${this.bases.plain}/health`).then((answer) => answer.ok, () => false);
  }
}
