/** `curl -N` on an event stream: text one can read, each event as it happens. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { Server, until } from '../service/server.mjs';

const AT_ONCE_MS = 1000;

/** @type {Server} */
let server;

before(async () => {
  server = await Server.start();
});

after(() => server.end());

test('it shows each event as it happens, whole lines only', async () => {
  const id = await server.createBlitz();
  const curl = spawn('curl', ['-sN', `${server.base}/v1/sessions/${id}/events?heartbeat_ms=2000`], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  curl.stdout.setEncoding('utf8').on('data', (more) => (text += more));
  try {
    await until('the first state', () => text.includes('event: STATE_SYNC\ndata: '));
    for (const command of ['start', 'switch', 'pause']) {
      const position = await server.command(id, command);
      await until(`${command} on the screen`, () => text.includes(`id: ${position}\nevent: STATE_UPDATE\ndata: {`), AT_ONCE_MS);
    }
    await until('a heartbeat', () => text.includes('\n\nevent: HEARTBEAT\ndata: {'), 5000);
    await until('the end of an event', () => text.endsWith('\n\n'));
    for (const line of text.split('\n')) assert.match(line, /^$|^retry: \d+$|^id: \d+-\d+$|^event: [A-Z_]+$|^data: \{.*\}$/);
    const order = [...text.matchAll(/^event: (STATE_\w+)$/gm)].map(([, type]) => type);
    assert.deepEqual(order, ['STATE_SYNC', 'STATE_UPDATE', 'STATE_UPDATE', 'STATE_UPDATE']);
  } finally {
    curl.kill();
  }
});
