/** The library in Node, without a browser and without a WebSocket. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SyncKairosClient } from '../../sdk/index.js';
import { Server, until } from '../service/server.mjs';

const CONFIG = { sync_mode: 'per_participant', total_time_ms: 60_000, participants: [{ participant_id: 'a' }, { participant_id: 'b' }] };

let server;

before(async () => {
  server = await Server.start();
});

after(() => server.end());

test('a session is made, followed, commanded and deleted, and nothing keeps the process alive', async () => {
  const client = new SyncKairosClient(server.base);
  const told = [];
  for (const name of ['connected', 'disconnected', 'error']) client.on(name, ({ code }) => told.push([name, code]));
  const { session_id: id } = await client.createSession(CONFIG);
  const versions = [];
  const stop = client.connect(id, ({ version }) => versions.push(version));
  await until('it is followed', () => client.session(id));
  await client.startSession(id);
  await client.switchCycle(id);
  await assert.rejects(client.switchCycle(id, { current_participant_id: 'a' }), { code: 'not_active', status: 409 });
  await until('every change came', () => versions.length === 3);
  assert.deepEqual([versions, client.transport(id)], [[1, 2, 3], globalThis.WebSocket ? 'websocket' : 'sse']);
  await until('cluster time is known', () => client.clock.isSettled);
  assert.ok(Math.abs(client.remaining('b') - 60_000) < 5000);
  stop();
  await client.deleteSession(id);
  await assert.rejects(client.getSession(id), { code: 'session_not_found' });
  assert.deepEqual(told, [['connected', undefined], ['disconnected', 1000]]);
  assert.ok(!process.getActiveResourcesInfo().includes('Timeout'), process.getActiveResourcesInfo().join(' '));
});
