/**
 * The types of the package, by the compiler: of the library's own files, against the golden files, the vectors and a
 * running service, and as a strict TypeScript app sees them.
 */

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Server } from '../service/server.mjs';
import { EARLIER_TSC, ROOT, SDK, TSC, pack, run, scratch } from './package-files.mjs';
import { constants, documented, golden, vectors } from './wire-types.mjs';

const OPTIONS = {
  strict: true, noEmit: true, target: 'es2022', module: 'nodenext', moduleResolution: 'nodenext', skipLibCheck: false,
  types: [], lib: ['es2022', 'dom', 'dom.iterable'], jsx: 'react-jsx', exactOptionalPropertyTypes: true,
};

const DEEP = `import type { ${['Change', 'CommandFields', 'Payloads', 'SessionConfig', 'Snapshot'].join(', ')} } from '@synckairos/client';
type Deep<T> = T extends (infer U)[] ? Deep<U>[] : T extends object ? { [K in keyof T]?: Deep<T[K]> } : T;
type Command = { [K in keyof CommandFields]: { command: K; body?: CommandFields[K] } }[keyof CommandFields];
type Frame = { [K in keyof Payloads]: { type: K; payload: Payloads[K] } }[keyof Payloads];
export type { Change, Command, Deep, Frame, SessionConfig, Snapshot };
`;

let place;
let server;
let types;

before(async () => {
  place = await scratch('types');
  const { file } = await pack(place.folder);
  const installed = join(place.folder, 'node_modules/@synckairos/client');
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', file, '--strip-components=1', '-C', installed]);
  for (const name of ['react', 'csstype']) await linkTypes(name);
  types = await readFile(join(installed, 'types/types.d.ts'), 'utf8');
  server = await Server.start();
});

after(async () => {
  await server?.end();
  await place.remove();
});

test('the library compiles strictly', async () => {
  await run(process.execPath, [TSC, '--project', join(SDK, 'tsconfig.json'), '--noEmit']);
});

test('every vector is a session that may be created, and every command of it one that may be given', async () => {
  const all = vectors();
  const accepted = all.flatMap((one) => one.steps).filter((step) => step.command in COMMANDS && !step.expect?.refused);
  assert.ok(all.length > 100 && accepted.length > 300, `${all.length} vectors, ${accepted.length} commands`);
  const commands = accepted.map(({ command, body }) => ({ command, ...(body && { body }) }));
  await compiles(constants('configs', 'SessionConfig', all.map((one) => one.create)) + constants('commands', 'Command', commands));
});

test('every snapshot and change of the golden files is as the types say', async () => {
  const [projections, changes] = [golden.projections(), golden.changes()];
  assert.ok(projections.length > 500 && changes.length > 100);
  await compiles(constants('projections', 'Deep<Snapshot>', projections) + constants('changes', 'Change', changes));
});

test('every field that the service sends is in the types, and every field of the types is sent', async () => {
  const snapshots = await Promise.all(vectors().filter(isFirstOfMode).map(({ create }) => started(create)));
  assert.equal(new Set(snapshots.map((one) => one.sync_mode)).size, 5);
  await compiles(constants('snapshots', 'Snapshot', snapshots));
});

test('every frame that the service sends is as the types say', async () => {
  const frames = await framesOfGame();
  const seen = new Set(frames.map((frame) => frame.type));
  for (const type of ['STATE_SYNC', 'STATE_UPDATE', 'TIME_WARNING', 'TIME_EXPIRED', 'SESSION_DELETED', 'HEARTBEAT']) {
    assert.ok(seen.has(type), `${type} among ${[...seen]}`);
  }
  await compiles(constants('frames', 'Frame', frames.map(({ type, payload }) => ({ type, payload }))));
});

test('a field that is not there, and a wrong value, do not compile', async () => {
  const [one] = await Promise.all([started({ sync_mode: 'global', total_time_ms: 1000 })]);
  const { as_of: _left, ...less } = one;
  for (const wrong of [{ ...one, another: 1 }, { ...one, status: 'gone' }, less]) {
    await assert.rejects(compiles(constants('snapshots', 'Snapshot', [wrong])), /error TS/);
  }
});

test('docs/API.md and the types name the same fields', () => {
  const declared = new Set([...types.matchAll(/^ {4}([a-z_]+)\??:/gm)].map(([, name]) => name));
  for (const title of ['The snapshot', 'Creating a session']) {
    const names = documented(title);
    assert.ok(names.length > 15, title);
    assert.deepEqual(names.filter((name) => !declared.has(name)), [], title);
  }
});

test('a doc line stands at every field of the snapshot that its name does not explain', () => {
  const snapshot = /export type Snapshot = \{[\s\S]*?\n\};/.exec(types)[0];
  const fields = [...snapshot.matchAll(/( {4}\/\*\*[\s\S]*?\*\/\n)? {4}([a-z_]+):/g)];
  const bare = fields.filter(([, doc]) => !doc).map(([, , name]) => name);
  const plain = ['session_id', 'sync_mode', 'status', 'concurrency', 'time_control', 'soft_close', 'rights', 'lag_policy', 'on_outage', 'time_used_ms', 'groups', 'edges', 'metadata', 'recovered', 'created_at', 'updated_at'];
  assert.deepEqual(bare.filter((name) => !plain.includes(name)), []);
});

for (const [release, compiler] of [['TypeScript 7', TSC], ['TypeScript 5', EARLIER_TSC]]) {
  test(`an app uses every entry under the strictest settings of ${release}`, () => compiles(APP, 'app.tsx', compiler));
}

const APP = `import { SyncKairosClient, SyncKairosError, clockText, shownMs, type Events, type Options, type Snapshot } from '@synckairos/client';
import { SyncKairosProvider, useNow, useServerTime, useSession, useSyncKairos } from '@synckairos/client/react';

const options: Options = { token: async () => 'a token', maxAttempts: 3 };
const client = new SyncKairosClient('https://timers.example', options);

client.on('timeExpired', ({ sessionId, participant_id, expired_at }: Events['timeExpired']) => console.log(sessionId, participant_id, expired_at));
// @ts-expect-error There is no such event.
client.on('tick', () => {});
// @ts-expect-error The mode is needed.
client.createSession({ total_time_ms: 1 }).catch(() => {});

export const stop: () => void = client.connect('s', (snapshot: Snapshot) => console.log(shownMs(snapshot, 'p', client.getServerTime())));

export async function play(): Promise<number> {
  try {
    const { outcome, version } = await client.switchCycle('s', { current_participant_id: 'p' });
    return outcome.charged_ms + version;
  } catch (error) {
    return error instanceof SyncKairosError ? error.status : 0;
  }
}

function Clock({ id }: { id: string }) {
  const { getParticipantTime, sessionState, switchCycle, isConnected } = useSession(id, 'white', { stepMs: 1000 });
  const other = useSyncKairos(id, client);
  const now: number | null = useNow();
  const { uncertainty } = useServerTime();
  const phase = sessionState?.participants[0]?.phase;
  const period: number = phase?.type === 'byoyomi' ? phase.period : 0;
  return <button onClick={switchCycle}>{clockText(getParticipantTime() ?? 0).text}{String(isConnected)}{now}{uncertainty}{period}{other.status}</button>;
}

export const app = <SyncKairosProvider client={client}><Clock id="s" /></SyncKairosProvider>;
`;

const COMMANDS = {
  start: 1, switch: 1, pause: 1, resume: 1, complete: 1, cancel: 1, reset: 1, adjust: 1, extend: 1, revert: 1,
  add_participant: 1, change_participant: 1, remove_participant: 1, clone: 1, delete: 1,
};

async function linkTypes(name) {
  const from = join(ROOT, 'tests/package/node_modules', name === 'react' ? '@types/react' : name);
  await run('cp', ['-r', from, join(place.folder, 'node_modules', name)]);
}

let count = 0;

/** Compiles a text beside the installed package. */
async function compiles(text, name = 'wire.ts', compiler = TSC) {
  const folder = join(place.folder, `case-${(count += 1)}`);
  await mkdir(folder);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await writeFile(join(folder, 'deep.ts'), DEEP);
  const imports = `import type { Change, Command, Deep, Frame, SessionConfig, Snapshot } from './deep.js';\n`;
  await writeFile(join(folder, name), name === 'wire.ts' ? imports + text : text);
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: OPTIONS, files: ['deep.ts', name] }));
  await run(process.execPath, [compiler, '--project', folder]);
}

function isFirstOfMode({ create }, place, all) {
  const kind = ({ create: { sync_mode: mode, concurrency, groups } }) => `${mode} ${concurrency} ${Boolean(groups)}`;
  return all.findIndex((one) => kind(one) === kind({ create })) === place;
}

/** The snapshot of a session of that kind, while it runs. */
async function started(config) {
  const { session_id: id } = await server.ask('POST', '/v1/sessions', config);
  await server.ask('POST', `/v1/sessions/${id}/start`);
  return server.ask('GET', `/v1/sessions/${id}`);
}

/** All frames of a short game, from its creation until it is deleted. */
async function framesOfGame() {
  const participants = ['a', 'b'].map((id) => ({ participant_id: id, total_time_ms: 1500 }));
  const { session_id: id } = await server.ask('POST', '/v1/sessions', {
    sync_mode: 'per_participant', participants, warnings_ms: [1000], action_on_timeout: { type: 'continue' },
  });
  const stream = await fetch(`${server.base}/v1/sessions/${id}/events?heartbeat_ms=2000`);
  await server.ask('POST', `/v1/sessions/${id}/start`);
  await server.ask('POST', `/v1/sessions/${id}/switch`);
  const frames = [];
  for await (const frame of framesOf(stream.body)) {
    frames.push(frame);
    const has = (type) => frames.some((one) => one.type === type);
    if (frame.type === 'SESSION_DELETED') return frames;
    if (has('TIME_EXPIRED') && has('HEARTBEAT') && frame.type === 'HEARTBEAT') await server.ask('DELETE', `/v1/sessions/${id}`);
  }
  return frames;
}

async function* framesOf(body) {
  let text = '';
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + part).split('\n\n');
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).join('\n');
      if (data && !block.includes('event: CLOSE')) yield JSON.parse(data);
    }
  }
}
