/** The service as a process of its own: started, stopped and started again on the same port and data. */

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const READY_WITHIN_MS = 15_000;
const STOPPED_WITHIN_MS = 15_000;
const LOOK_AGAIN_MS = 10;

// Below the ports of outgoing connections, so that a server that is started again finds its own free; and below those
// of testkit/src/ports.rs.
const FIRST_PORT = 10_000;
const PORT_COUNT = 10_000;
const PORTS_APART = 211;

/** A condition by its deadline; what it gave, once that is anything. */
export async function until(what, condition, withinMs = 15_000) {
  for (const endMs = performance.now() + withinMs; performance.now() < endMs; await pause(LOOK_AGAIN_MS)) {
    const given = await condition();
    if (given) return given;
  }
  throw new Error(`${what}: not within ${withinMs} ms`);
}

let asked = 0;

/** A port that nobody listens on. Suites run side by side, each a process: they look for theirs apart. */
export async function freePort() {
  for (;;) {
    const port = FIRST_PORT + ((process.pid * PORTS_APART + asked) % PORT_COUNT);
    asked += 1;
    if (await isFree(port)) return port;
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const probe = createServer().once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

export class Server {
  #process = null;
  #said = '';

  /**
   * @param {string|undefined} program the binary, as `SYNCKAIROS_TEST_PROGRAM` names it
   * @param {{env?: Record<string, string>, token?: string}} [set] its settings, and the token of `ask` if it wants one
   */
  static async start(program = process.env.SYNCKAIROS_TEST_PROGRAM, { env = {}, token } = {}) {
    if (!program) throw new Error('SYNCKAIROS_TEST_PROGRAM must name the program to test');
    const server = new Server();
    Object.assign(server, { program, env, token });
    server.port = await freePort();
    server.base = `http://127.0.0.1:${server.port}`;
    server.folder = await mkdtemp(join(tmpdir(), 'synckairos-'));
    await server.begin();
    return server;
  }

  /** Starts it, and waits until it is ready. */
  async begin() {
    const listen = ['--listen-addr', `127.0.0.1:${this.port}`, '--metrics-addr', '127.0.0.1:0'];
    const args = ['serve', ...listen, '--data-dir', this.folder, '--log-format', 'text'];
    this.#process = spawn(this.program, args, { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#process.stdout, this.#process.stderr]) stream.on('data', (text) => (this.#said += text));
    await until('the server is ready', () => this.#isReady(), READY_WITHIN_MS);
  }

  /** Stops it by signal, and waits until it has ended well. */
  async stop(signal = 'SIGTERM') {
    const ending = this.#process;
    this.#process = null;
    ending.kill(signal);
    await until('the server has ended', () => ending.exitCode !== null || ending.signalCode !== null, STOPPED_WITHIN_MS);
    if (signal === 'SIGTERM' && ending.exitCode !== 0) throw new Error(`it ended with ${ending.exitCode}: ${this.#said.slice(-2000)}`);
  }

  /** @param {NodeJS.Signals} signal that does not end it */
  signal(signal) {
    this.#process.kill(signal);
  }

  /** The end of it, whatever became of the test. */
  async end() {
    this.#process?.kill('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A plain request; its JSON, or a failure that says why. */
  async ask(method, path, body) {
    const headers = { ...(body && { 'content-type': 'application/json' }), ...(this.token && { authorization: `Bearer ${this.token}` }) };
    const answer = await fetch(this.base + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** A chess clock; its id. */
  async createBlitz(more = {}) {
    const participants = ['p1', 'p2'].map((id) => ({ participant_id: id, metadata: { name: id } }));
    const times = { total_time_ms: 300_000, increment_ms: 2000 };
    const made = await this.ask('POST', '/v1/sessions', { sync_mode: 'per_participant', ...times, participants, ...more });
    return made.session_id;
  }

  /** The position a command made. */
  async command(id, command, fields) {
    const { epoch, version } = await this.ask('POST', `/v1/sessions/${id}/${command}`, fields);
    return `${epoch}-${version}`;
  }

  async #isReady() {
    if (this.#process.exitCode !== null) throw new Error(`it ended at once: ${this.#said.slice(-2000)}`);
    return fetch(`${this.base}/ready`).then((answer) => answer.ok, () => false);
  }
}
