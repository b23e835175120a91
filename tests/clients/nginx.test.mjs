/** Behind nginx: events come at once, upgrades where it is told to, polls and compression always. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Connection, longPolls, serverSentEvents } from '../../sdk/index.js';
import { fallbackMessage } from '../../web/messages.js';
import { Nginx } from '../service/nginx.mjs';
import { Server, until } from '../service/server.mjs';
import { Follower } from './events.mjs';
import { upgraded } from './upgrade.mjs';

const AT_ONCE_MS = 500;
const FALLBACK_WITHIN_MS = 10_000;

/** @type {Server} */
let server;
/** @type {Nginx} */
let nginx;

before(async () => {
  server = await Server.start();
  nginx = await Nginx.before(server.port);
});

after(async () => {
  await nginx.end();
  await server.end();
});

describe('nginx', { concurrency: true }, () => {
  for (const name of ['plain', 'buffered']) {
    test(`${name}: events come at once`, async () => {
      const id = await server.createBlitz();
      const follower = new Follower(`${nginx.bases[name]}/v1/sessions/${id}/events`);
      await until('the first state', () => follower.events.length > 0, 2000);
      for (const command of ['start', 'switch', 'switch', 'pause']) {
        const position = await server.command(id, command);
        const doneMs = performance.now();
        const { found } = await follower.until(position, 2000);
        assert.ok(found.atMs - doneMs <= AT_ONCE_MS, `${command} came ${Math.round(found.atMs - doneMs)} ms later`);
      }
      follower.close();
    });
  }

  for (const name of ['plain', 'buffered', 'deaf']) {
    test(`${name}: a poll is answered when there is news`, async () => {
      const id = await server.createBlitz();
      const path = `${nginx.bases[name]}/v1/sessions/${id}/poll`;
      const first = await (await fetch(path)).json();
      const waiting = fetch(`${path}?since=${first.position}&timeout_ms=20000`);
      const position = await server.command(id, 'start');
      const doneMs = performance.now();
      const answer = await (await waiting).json();
      assert.ok(performance.now() - doneMs <= AT_ONCE_MS);
      assert.deepEqual([answer.position, answer.timed_out, answer.events[0].type], [position, false, 'STATE_UPDATE']);
    });

    test(`${name}: what is compressed is so once`, async () => {
      const id = await server.createBlitz();
      const answer = await fetch(`${nginx.bases[name]}/v1/sessions/${id}`, { headers: { 'accept-encoding': 'gzip' } });
      assert.equal(answer.headers.get('content-encoding'), 'gzip');
      assert.equal((await answer.json()).session_id, id);
    });
  }

  test('buffered: an upgrade goes through, and frames come at once', async () => {
    const id = await server.createBlitz();
    const frames = await upgraded(`${nginx.bases.buffered}/v1/sessions/${id}/ws`);
    await until('the first state', () => frames.told.some(({ type }) => type === 'STATE_SYNC'));
    const position = await server.command(id, 'start');
    await until('the change', () => frames.told.some((frame) => frame.type === 'STATE_UPDATE' && frame.position === position), AT_ONCE_MS);
    frames.close();
  });

  test('where upgrades are not passed on, one is told so at once', async () => {
    const id = await server.createBlitz();
    await assert.rejects(upgraded(`${nginx.bases.plain}/v1/sessions/${id}/ws`), /no upgrade: 400/);
  });

  test('deaf: where events are held back the library goes on by long-poll, says why, and misses nothing', async () => {
    const id = await server.createBlitz();
    const transports = { sse: serverSentEvents(), poll: longPolls() };
    const connection = new Connection({ base: nginx.bases.deaf, sessionId: id, transports });
    const versions = [];
    connection.on('frame', ({ type, payload }) => type.startsWith('STATE') && versions.push(payload.version));
    const beganMs = performance.now();
    connection.open();
    await server.command(id, 'start');
    await until('it is live by long-poll', () => connection.transport === 'poll' && connection.state === 'live');
    const tookMs = performance.now() - beganMs;
    assert.ok(tookMs <= FALLBACK_WITHIN_MS, `${Math.round(tookMs)} ms`);
    assert.match(fallbackMessage('poll', connection.fallback.objections), /^SSE brought nothing .*goes by long-poll/);
    const { version } = await connection.command('switch');
    await until('the change', () => connection.session.version === version && versions.at(-1) === version);
    assert.deepEqual(versions, [2, 3]);
    await until('the offset is settled', () => connection.sync.isSettled);
    connection.close();
  });
});
