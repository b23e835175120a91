import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rest } from '../rest.js';

/** Requests that go nowhere: each answered with the next of `answers`. */
function recorded(...answers) {
  const asked = [];
  const fetch = async (url, { method, body, headers }) => {
    asked.push([method, url.replace('http://here', ''), body ? JSON.parse(body) : null, headers['Idempotency-Key'] ?? null]);
    return new Response(JSON.stringify(answers.shift() ?? {}), { status: 200 });
  };
  return { asked, rest: new Rest({ base: 'http://here', fetch }) };
}

test('a command is a sub-resource, and a participant a resource', async () => {
  const { asked, rest } = recorded();
  await rest.command('s', 'pause', { reason: 'tea' }, 'k1');
  await rest.command('s', 'add_participant', { participant_id: 'p3' }, 'k2');
  await rest.command('s', 'change_participant', { participant_id: 'p:3', metadata: {} }, 'k3');
  await rest.command('s', 'remove_participant', { participant_id: 'p3' }, 'k4');
  assert.deepEqual(asked, [
    ['POST', '/v1/sessions/s/pause', { reason: 'tea' }, 'k1'],
    ['POST', '/v1/sessions/s/participants', { participant_id: 'p3' }, 'k2'],
    ['PATCH', '/v1/sessions/s/participants/p%3A3', { metadata: {} }, 'k3'],
    ['DELETE', '/v1/sessions/s/participants/p3', {}, 'k4'],
  ]);
});

test('a history is read page by page', async () => {
  const first = { changes: [{ version: 1 }, { version: 2 }], next_cursor: '5-2' };
  const { asked, rest } = recorded(first, { changes: [{ version: 3 }], next_cursor: null });
  const versions = [];
  for await (const { version } of rest.history('s')) versions.push(version);
  assert.deepEqual(versions, [1, 2, 3]);
  assert.deepEqual(asked.map(([, url]) => url), ['/v1/sessions/s/history', '/v1/sessions/s/history?after=5-2']);
});
