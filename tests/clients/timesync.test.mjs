/** The npm package `timesync` finds cluster time, however wrong its own is. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import timesync from 'timesync';
import { Server } from '../service/server.mjs';

const WITHIN_MS = 5;

/** @type {Server} */
let server;

before(async () => {
  server = await Server.start();
});

after(() => server.end());

/** Cluster time by plain requests: the one that came back soonest, in the middle of its round trip. */
async function apartMs(now) {
  const tries = [];
  for (let at = 0; at < 10; at += 1) {
    const before = now();
    const { timestamp_ms: told } = await server.ask('GET', '/v1/time');
    const after = now();
    tries.push({ roundTrip: after - before, apart: told - (before + after) / 2 });
  }
  return tries.reduce((best, one) => (one.roundTrip < best.roundTrip ? one : best)).apart;
}

for (const [path, wrongByMs] of [['/v1/timesync', 0], ['/v1/timesync', 3_600_000], ['/api/timesync', -86_400_000.5]]) {
  test(`by ${path}, with a clock that is ${wrongByMs} ms wrong`, async () => {
    const wrong = () => performance.timeOrigin + performance.now() + wrongByMs;
    const errors = [];
    const ts = timesync.create({ server: server.base + path, interval: null, delay: 10, repeat: 10, now: wrong });
    ts.on('error', (error) => errors.push(error));
    await ts.sync();
    assert.deepEqual(errors, []);
    const apart = await apartMs(() => ts.now());
    assert.ok(Math.abs(apart) <= WITHIN_MS, `${apart.toFixed(2)} ms apart`);
    ts.destroy();
  });
}
