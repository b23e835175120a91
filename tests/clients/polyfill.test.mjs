/** The npm package `event-source-polyfill` resumes by `?lastEventId=`, and jQuery adds `?_=1` to what it gets. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import polyfill from 'event-source-polyfill';
import { FaultyProxy } from '../service/faulty-proxy.mjs';
import { Server, until } from '../service/server.mjs';
import { Follower } from './events.mjs';

const { EventSourcePolyfill } = polyfill;

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

async function comesBack(query) {
  const id = await server.createBlitz();
  const opened = await query(id);
  const follower = new Follower(`${proxy.base}/v1/sessions/${id}/events?heartbeat_ms=2000${opened}`, EventSourcePolyfill);
  await follower.until(await server.command(id, 'start'));
  proxy.disturb('sse', 'refuse');
  await until('it notices', () => follower.errors.length > 0);
  follower.forget();
  let last;
  for (let turns = 0; turns < 5; turns += 1) last = await server.command(id, 'switch');
  proxy.letThrough();
  const { told } = await follower.until(last, 20_000);
  follower.close();
  assert.deepEqual(told, [3, 4, 5, 6, 7].map((version) => `STATE_UPDATE ${version}`));
}

test('cut off, it comes back with its cursor in the query and misses nothing', async () => {
  await comesBack(async () => '');
});

test('where it has got to counts, not where its address says it began', async () => {
  await comesBack(async (id) => {
    const { epoch, version } = await server.ask('GET', `/v1/sessions/${id}`);
    return `&last=${epoch}-${version}`;
  });
});

test('a parameter against caches is refused nowhere', async () => {
  const id = await server.createBlitz();
  const session = `/v1/sessions/${id}`;
  for (const path of [session, `${session}/poll`, `${session}/history`, '/v1/sessions', '/v1/time', '/ready', '/']) {
    const { status } = await fetch(`${server.base}${path}?_=${Date.now()}`);
    assert.equal(status, 200, path);
  }
  for (const path of [`${session}/events?_=1`, `/v1/events?sessions=${id}&_=1`]) {
    const answer = await fetch(`${server.base}${path}`);
    assert.equal(answer.status, 200, path);
    await answer.body.cancel();
  }
});
