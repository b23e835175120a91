/**
 * An app on a port of its own, as Vite serves one: it calls a service that lists its origin, and gets nothing of one
 * that does not.
 *
 *   SYNCKAIROS_TEST_PROGRAM=target/debug/synckairos node origins.mjs
 *
 * It starts servers of its own: the app's, a stranger's, and the service without a key and with one.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { Server } from '../service/server.mjs';
import { SECRET, signed } from './tokens.mjs';
import { Windows } from './windows.mjs';

const OPERATOR = signed({ role: 'operator' });
const TRANSPORTS = ['websocket', 'sse', 'poll'];
// An upgrade that is refused ends with it; no close code of the service does.
const NEVER_OPENED = 1006;

const windows = await Windows.open();
const app = await site();
const stranger = await site();

after(async () => {
  await windows.close();
  for (const one of [app, stranger]) one.close();
});

/** An empty page on an origin of its own. */
async function site() {
  const server = createServer((_, answer) => {
    answer.writeHead(200, { 'content-type': 'text/html' });
    answer.end('<!doctype html><link rel="icon" href="data:,"><title>app</title>');
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  server.origin = `http://localhost:${server.address().port}`;
  return server;
}

/** A window on that origin, with the ways in which a page calls a service. */
async function onPage({ origin }) {
  const page = await windows.window({ path: origin });
  await page.evaluate(callers);
  return page;
}

// What a page does, written as its author would.
function callers() {
  const within = (what, promise) => Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error(`${what}: no answer`)), 10_000))]);

  /** A request; status, headers that the page can read, and body. */
  window.ask = async (base, token, method, path, { body, headers = {} } = {}) => {
    const all = { ...headers, ...(body && { 'Content-Type': 'application/json' }), ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await within(path, fetch(base + path, { method, headers: all, body: body && JSON.stringify(body) }));
    const text = await answer.text();
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: text ? JSON.parse(text) : null };
  };

  const heard = () => (window.heard = []);

  const withToken = (url, token) => (token ? `${url}?token=${token}` : url);

  /** The types of the first `count` states that a stream brings, or how it ended before. `heard` counts them meanwhile. */
  window.streams = {
    eventSource: (base, token, id, count) =>
      new Promise((done) => {
        const types = heard();
        const source = new EventSource(withToken(`${base}/v1/sessions/${id}/events`, token));
        const end = (said) => {
          source.close();
          done(said);
        };
        const note = ({ type }) => types.push(type) === count && end(types);
        source.addEventListener('STATE_SYNC', note);
        source.addEventListener('STATE_UPDATE', note);
        source.addEventListener('error', () => source.readyState === EventSource.CLOSED && end('error'));
      }),

    fetchedEvents: async (base, token, id, count) => {
      const headers = { Accept: 'text/event-stream', 'Last-Event-ID': '1-1', ...(token && { Authorization: `Bearer ${token}` }) };
      const control = new AbortController();
      const answer = await fetch(`${base}/v1/sessions/${id}/events`, { headers, signal: control.signal }).catch(() => null);
      if (!answer?.ok) return 'error';
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const types = heard();
      for (let text = ''; types.length < count; ) {
        const { value, done } = await reader.read();
        if (done) return 'ended';
        const events = (text + value).split('\n\n');
        text = events.pop();
        types.push(...events.flatMap((event) => event.match(/^event: (STATE_\w+)$/m)?.[1] ?? []));
      }
      control.abort();
      return types;
    },

    webSocket: (base, token, id, count) =>
      new Promise((done) => {
        const types = heard();
        const protocols = token ? ['synckairos.v1', `bearer.${token}`] : ['synckairos.v1'];
        const socket = new WebSocket(`${base.replace('http', 'ws')}/v1/sessions/${id}/ws`, protocols);
        socket.addEventListener('message', ({ data }) => {
          const { type } = JSON.parse(data);
          if (type.startsWith('STATE_') && types.push(type) === count) {
            socket.close();
            done(types);
          }
        });
        socket.addEventListener('close', ({ code }) => done(code));
      }),

    poll: async (base, token, id, count) => {
      const types = heard();
      for (let since = ''; types.length < count; ) {
        const asked = await window.ask(base, token, 'GET', `/v1/sessions/${id}/poll${since && `?since=${since}`}`).catch(() => null);
        if (asked?.status !== 200) return 'error';
        since = asked.body.position;
        types.push(...(asked.body.events.length > 0 ? asked.body.events.map(({ type }) => type) : ['STATE_SYNC']));
      }
      return types;
    },
  };

  /** Follows a session by the library that the service itself serves; the version it comes to. */
  window.followed = async (base, token, id, transport, version) => {
    const { Connection } = await import(`${base}/sdk/index.js`);
    const connection = new Connection({ base, token, sessionId: id, transport });
    const reached = new Promise((done) => connection.on('session', (session) => session.version >= version && done(session.version)));
    connection.open();
    const [found] = await Promise.all([within(transport, reached), connection.command('switch')]);
    connection.close();
    return found;
  };
}

for (const [mode, token] of [['open mode', null], ['a service with a key', OPERATOR]]) {
  describe(`an app on another origin, and ${mode}`, { concurrency: false }, () => {
    /** @type {Server} */
    let server;
    let page;
    let other;

    const ask = (window, method, path, more) => window.evaluate((all) => ask(...all), [server.base, token, method, path, more]);
    const follow = (window, stream, id, count) =>
      window.evaluate(([name, ...all]) => streams[name](...all), [stream, server.base, token, id, count]);

    before(async () => {
      const env = { CORS_ORIGINS: `https://app.example.com,${app.origin}`, ...(token && { JWT_SECRET: SECRET }) };
      server = await Server.start(undefined, { env, token });
      [page, other] = await Promise.all([onPage(app), onPage(stranger)]);
    });

    after(async () => {
      await Promise.all([page, other].map((one) => one.context().close()));
      await server.end();
    });

    test('it reads, creates once under a key, commands and deletes', async () => {
      const time = await ask(page, 'GET', '/v1/time');
      assert.equal(time.status, 200);
      assert.ok(time.headers['x-request-id'], JSON.stringify(time.headers));

      const body = { sync_mode: 'global', total_time_ms: 60_000 };
      const create = () => ask(page, 'POST', '/v1/sessions', { body, headers: { 'Idempotency-Key': `of ${mode}` } });
      const [made, again] = [await create(), await create()];
      assert.deepEqual([made.status, again.status, again.headers['idempotent-replayed']], [201, 201, 'true']);
      const path = made.headers.location;
      assert.equal(path, `/v1/sessions/${made.body.session_id}`);
      assert.equal(again.headers.location, path);

      const known = { headers: { 'If-None-Match': made.headers.etag } };
      assert.equal((await ask(page, 'GET', path, known)).status, 304);
      const started = await ask(page, 'POST', `${path}/start`, { headers: { 'If-Match': made.headers.etag, 'X-Request-Id': 'mine' } });
      assert.deepEqual([started.status, started.headers['x-request-id']], [200, 'mine']);
      const refused = await ask(page, 'PATCH', `${path}/participants/p1`, { body: { nonsense: 1 } });
      assert.deepEqual([refused.status, refused.body.errors[0].pointer], [422, '/nonsense']);
      assert.equal((await ask(page, 'DELETE', path)).status, 204);
      assert.equal((await ask(page, 'GET', path)).body.code, 'session_not_found');
    });

    for (const stream of ['eventSource', 'fetchedEvents', 'webSocket', 'poll']) {
      test(`it follows a session: ${stream}`, async () => {
        const id = await server.createBlitz();
        await page.evaluate(() => delete window.heard);
        const following = follow(page, stream, id, 3);
        await page.waitForFunction(() => window.heard?.length === 1);
        for (const command of ['start', 'switch']) await server.command(id, command);
        assert.deepEqual(await following, ['STATE_SYNC', 'STATE_UPDATE', 'STATE_UPDATE']);
      });
    }

    for (const transport of TRANSPORTS) {
      test(`the library of the service itself goes by ${transport}`, async () => {
        const id = await server.createBlitz();
        await server.command(id, 'start');
        const found = await page.evaluate((all) => followed(...all), [server.base, token, id, transport, 3]);
        assert.equal(found, 3);
      });
    }

    test('a page that is not listed gets nothing, and changes nothing', async () => {
      const id = await server.createBlitz();
      await server.command(id, 'start');
      const path = `/v1/sessions/${id}`;
      for (const [method, rest] of [['GET', ''], ['POST', '/switch'], ['DELETE', ''], ['GET', '/history']]) {
        await assert.rejects(ask(other, method, path + rest), /Failed to fetch/, `${method} ${rest}`);
      }
      // A form could send this, and no browser asks before it does.
      const simple = (url) => fetch(url, { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: '{}' });
      await assert.rejects(other.evaluate(simple, `${server.base}${path}/switch`), /Failed to fetch/);
      assert.equal(await follow(other, 'eventSource', id, 1), 'error');
      assert.equal(await follow(other, 'fetchedEvents', id, 1), 'error');
      assert.equal(await follow(other, 'poll', id, 1), 'error');
      assert.equal(await follow(other, 'webSocket', id, 1), NEVER_OPENED);
      await assert.rejects(other.evaluate((base) => import(`${base}/sdk/index.js`), server.base), /Failed to fetch/);
      const { version } = await server.ask('GET', path);
      assert.equal(version, 2);
    });
  });
}
