/** Every code of the server and of the client library has a text on the page. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { MESSAGES, messageFor } from '../../web/messages.js';

async function codesIn(file, pattern) {
  const text = await readFile(new URL(file, import.meta.url), 'utf8');
  return [...text.matchAll(pattern)].map(([, code]) => code);
}

test('the page has a text for every code, and for no other', async () => {
  const server = await codesIn('../../src/wire/error_code.rs', /^ {4}[A-Z]\w+ "(\w+)" \d{3} "/gm);
  const client = await codesIn('../problem.js', /new SyncKairosError\(\{ code: '(\w+)'/g);
  assert.ok(server.length > 30 && client.length > 3, `${server.length} and ${client.length} codes were read`);
  assert.deepEqual(Object.keys(MESSAGES).sort(), [...server, ...client].sort());
});

test('a code of a newer server is shown by its detail or title', () => {
  assert.equal(messageFor({ code: 'new', body: { detail: 'wait a little', title: 'New' } }), 'Wait a little.');
  assert.equal(messageFor({ code: 'new', body: { title: 'New' } }), 'New.');
});
