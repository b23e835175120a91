/** The npm package `eventsource` follows a session through everything that happens to it. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FaultyProxy } from '../service/faulty-proxy.mjs';
import { Server, until } from '../service/server.mjs';
import { Follower } from './events.mjs';

const CLOSED = 2;

/** @type {Server} */
let server;
/** @type {FaultyProxy} */
let proxy;

before(async () => {
  server = await Server.start();
  proxy = await FaultyProxy.before(server.port);
});

after(async () => {
  await proxy.close();
  await server.end();
});

async function followed() {
  const id = await server.createBlitz();
  const follower = new Follower(`${proxy.base}/v1/sessions/${id}/events?heartbeat_ms=2000`);
  await until('the first state', () => follower.events.length > 0);
  return { id, follower };
}

test('it is told the state, then every command, in order', async () => {
  const { id, follower } = await followed();
  let last;
  for (const command of ['start', 'switch', 'pause', 'resume', 'switch']) last = await server.command(id, command);
  const { told } = await follower.until(last);
  assert.deepEqual(told, ['STATE_SYNC 1', ...[2, 3, 4, 5, 6].map((version) => `STATE_UPDATE ${version}`)]);
  assert.ok(follower.events.every(({ id: at, data }) => at === data.position), 'each names where it stands');
  follower.close();
});

test('cut off, it comes back by itself and misses nothing that happened meanwhile', async () => {
  const { id, follower } = await followed();
  await follower.until(await server.command(id, 'start'));
  proxy.disturb('sse', 'refuse');
  await until('it notices', () => follower.errors.length > 0);
  follower.forget();
  let last;
  for (let turns = 0; turns < 5; turns += 1) last = await server.command(id, 'switch');
  proxy.letThrough();
  const { told } = await follower.until(last);
  assert.deepEqual(told, [3, 4, 5, 6, 7].map((version) => `STATE_UPDATE ${version}`));
  follower.close();
});

test('a deleted session it leaves, once it has heard of the end', async () => {
  const { id, follower } = await followed();
  await follower.until(await server.command(id, 'start'));
  follower.forget();
  await server.ask('DELETE', `/v1/sessions/${id}`);
  await until('it stays away', () => follower.source.readyState === CLOSED);
  assert.deepEqual(follower.told(), ['SESSION_DELETED 3', 'CLOSE']);
  assert.equal(follower.events.at(-1).data.code, 4503);
  assert.equal(follower.errors.at(-1), 204);
  assert.equal(follower.opened, 1);
});

test('a restart of the server is one whole state, and on it goes', async () => {
  const { id, follower } = await followed();
  await follower.until(await server.command(id, 'start'));
  await server.stop();
  follower.forget();
  await server.begin();
  await until('it is back', () => follower.opened === 2 && follower.events.length > 0);
  assert.deepEqual(follower.events[0].data.payload.pause_reasons, ['outage'], 'nobody pays for the restart');
  const last = await server.command(id, 'resume');
  const { told } = await follower.until(last);
  assert.deepEqual(told, ['STATE_SYNC 2', 'STATE_UPDATE 3']);
  follower.close();
});
