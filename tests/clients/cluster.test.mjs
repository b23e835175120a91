/** Three instances behind nginx, as `scripts/cluster` starts them: any request anywhere, and one of them is killed. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from '../service/server.mjs';
import { Follower } from './events.mjs';
import { upgraded } from './upgrade.mjs';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('../../scripts/cluster', import.meta.url));
const BLITZ = { sync_mode: 'per_participant', total_time_ms: 300_000, participants: [{ participant_id: 'white' }, { participant_id: 'black' }] };

let state;
/** What `source env` would give. */
let given;

const cluster = (...words) => {
  const environment = { ...process.env, SYNCKAIROS_PROGRAM: process.env.SYNCKAIROS_TEST_PROGRAM };
  return run(SCRIPT, [...words, '--state', state], { env: environment });
};

const readGiven = async () => {
  const lines = (await readFile(join(state, 'env'), 'utf8')).matchAll(/^export SYNCKAIROS_(\w+)='(.*)'$/gm);
  given = Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
};

const instance = (number) => given.URLS.split(' ')[number];

async function ask(base, method, path, body) {
  const headers = { authorization: `Bearer ${given.TOKEN}`, 'content-type': 'application/json' };
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

/**
 * The position a command made. An instance that is killed may or may not have done what it was asked for, and nginx does
 * not ask another one by itself: a repeat with its key is done once.
 */
async function command(base, id, name) {
  const headers = { authorization: `Bearer ${given.TOKEN}`, 'idempotency-key': randomUUID() };
  const once = () => fetch(`${base}/v1/sessions/${id}/${name}`, { method: 'POST', headers });
  let answer = await once();
  for (let tries = 1; answer.status === 502 && tries < 4; tries += 1) answer = await once();
  assert.equal(answer.status, 200, `${name}: ${answer.status}`);
  const { epoch, version } = await answer.json();
  return `${epoch}-${version}`;
}

/** Follows through nginx, and not for longer than its test: it would come back for ever. */
function follow(t, id) {
  const follower = new Follower(stream('events', id));
  t.after(() => follower.close());
  return follower;
}

const stream = (kind, id) => `${given.URL}/v1/sessions/${id}/${kind}?token=${given.TOKEN}`;

/** A process that ended stays a zombie until its parent waits for it. */
const isAlive = (pid) => readFile(`/proc/${pid}/stat`, 'utf8').then((text) => !/\) Z /.test(text), () => false);
const alive = async (pids) => (await Promise.all(pids.map(isAlive))).filter(Boolean).length;

before(async () => {
  state = await mkdtemp(join(tmpdir(), 'synckairos-cluster-'));
  await cluster('up', '3');
  await readGiven();
});

after(async () => {
  await cluster('down');
  await rm(state, { recursive: true, force: true });
});

describe('a cluster', () => {
  test('a commit on one instance reaches followers through nginx, on each transport', async (t) => {
    const { session_id: id, epoch } = await ask(instance(0), 'POST', '/v1/sessions', BLITZ);
    const events = follow(t, id);
    const frames = await upgraded(stream('ws', id));
    t.after(() => frames.close());
    const heard = (version) => frames.told.some(({ position }) => position === `${epoch}-${version}`);
    await until('both have the first state', () => events.events.length > 0 && heard(1));
    const polled = ask(given.URL, 'GET', `/v1/sessions/${id}/poll?since=${epoch}-1&timeout_ms=20000`);
    for (const [number, name] of [[1, 'start'], [2, 'switch'], [0, 'switch'], [1, 'pause']]) await command(instance(number), id, name);
    await until('the newest state', () => heard(5));
    const { told } = await events.until(`${epoch}-5`);
    assert.deepEqual(told, ['STATE_SYNC 1', 'STATE_UPDATE 2', 'STATE_UPDATE 3', 'STATE_UPDATE 4', 'STATE_UPDATE 5']);
    assert.equal((await polled).timed_out, false);
  });

  test('the work of an instance is counted from its start', async () => {
    const scrapes = () => Promise.all(given.METRICS_URLS.split(' ').map(async (url) => (await fetch(url)).text()));
    const sum = (texts, name) => texts.reduce((sum, text) => sum + Number(text.match(RegExp(`^synckairos_${name} (.*)$`, 'm'))?.[1]), 0);
    const texts = await scrapes();
    // Both streams of the test before this one.
    assert.ok(sum(texts, 'frames_total{direction="out"}') >= 10);
    assert.ok(sum(texts, 'fanout_lag_seconds_count') >= 8);
    for (const text of texts) assert.match(text, /^synckairos_breaker_open\{of="ledger_writes"\} 0$/m);
    // Who came later took some over from who was first.
    await until('each partition has one owner', async () => sum(await scrapes(), 'partitions_owned') === 64);
  });

  test('a killed instance: every command is done once, and its followers reconnect', async (t) => {
    const { session_id: id } = await ask(given.URL, 'POST', '/v1/sessions', BLITZ);
    // One on each instance.
    const followers = [1, 2, 3].map(() => follow(t, id));
    await until('all follow', () => followers.every(({ events }) => events.length > 0));
    await command(given.URL, id, 'start');
    process.kill(Number(given.PIDS.split(' ')[2]), 'SIGKILL');
    let position;
    for (let turn = 0; turn < 30; turn += 1) position = await command(given.URL, id, 'switch');
    assert.equal((await ask(given.URL, 'GET', `/v1/sessions/${id}`)).version, 32);
    for (const follower of followers) await follower.until(position, 20_000);
  });

  test('the proxy logs a lost instance without tokens of its followers', async () => {
    const log = await readFile(join(state, 'logs', 'nginx.log'), 'utf8');
    assert.match(log, /while (connecting to|reading response header from) upstream/);
    assert.doesNotMatch(log, /token=/);
    assert.ok(!log.includes(given.TOKEN));
  });

  test('an instance that hangs is passed over: by reads, and by commands that have a key', async (t) => {
    const { session_id: id } = await ask(given.URL, 'POST', '/v1/sessions', BLITZ);
    await command(given.URL, id, 'start');
    const hung = Number(given.PIDS.split(' ')[1]);
    process.kill(hung, 'SIGSTOP');
    t.after(() => process.kill(hung, 'SIGCONT'));
    // Some of each come to it: three at a time would go to all.
    const began = Date.now();
    const reads = Array.from({ length: 6 }, () => ask(given.URL, 'GET', `/v1/sessions/${id}`));
    for (const { session_id: read } of await Promise.all(reads)) assert.equal(read, id);
    for (let turn = 0; turn < 6; turn += 1) await command(given.URL, id, 'switch');
    assert.equal((await ask(instance(0), 'GET', `/v1/sessions/${id}`)).version, 8);
    assert.ok(Date.now() - began < 60_000, 'it waits for the one that hangs as long as a stream may be silent');
  });

  test('status names the killed instance, and start brings it back', async () => {
    const status = await cluster('status').catch((refused) => refused);
    assert.equal(status.code, 1);
    assert.match(status.stdout, /^instance-3 .* ended$/m);
    await cluster('start', 'instance-3');
    await readGiven();
    assert.match((await cluster('status')).stdout, /^instance-3 /m);
    await ask(instance(2), 'GET', '/v1/sessions');
  });

  test('down leaves nothing behind but the logs', async () => {
    const pids = [...given.PIDS.split(' '), given.REDIS_PID];
    assert.equal(await alive(pids), 4);
    const { stderr } = await cluster('down');
    assert.equal(stderr, '');
    assert.equal(await alive(pids), 0);
    assert.ok(!existsSync(join(state, 'data')) && !existsSync(join(state, 'env')));
    const log = await readFile(join(state, 'logs', 'instance-1.log'), 'utf8');
    assert.doesNotMatch(log, / ERROR /);
  });
});
