/** Sealed messages and signed commands, by the vectors that the service is held against. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { importKey, keyIdOf, signCommand, signFrame, verifyFrame } from '../seal.js';

const read = (name) => JSON.parse(readFileSync(new URL(`../../tests/golden/${name}`, import.meta.url), 'utf8'));
const { keys, messages } = read('sealed-messages.json');
const { commands } = read('signed-commands.json');
const keyCalled = (id) => keys.find(({ key_id }) => key_id === id).key;

test('a message that was not changed verifies, and any other does not', async () => {
  assert.ok(messages.some(({ valid }) => valid) && messages.some(({ valid }) => !valid));
  for (const { key_id, text, valid, why } of messages) {
    assert.equal(await verifyFrame(text, keyCalled(key_id)), valid, why ?? text);
    assert.equal(await verifyFrame(text, await importKey(keyCalled(key_id))), valid, why ?? text);
    if (valid) assert.equal(keyIdOf(text), key_id);
  }
});

test('every changed character and every cut shows', async () => {
  const { key_id, text } = messages.find(({ valid }) => valid);
  const key = await importKey(keyCalled(key_id));
  for (let place = 0; place < text.length; place += 1) {
    const other = text[place] === '0' ? '1' : '0';
    assert.equal(await verifyFrame(text.slice(0, place) + other + text.slice(place + 1), key), false, `at ${place}`);
    assert.equal(await verifyFrame(text.slice(0, place), key), false, `cut at ${place}`);
  }
});

test('what is not sealed has no key', () => {
  for (const text of ['', '{}', '{"type":"PONG","payload":{}}', '{"hmac":"x"}']) assert.equal(keyIdOf(text), null);
});

test('a command is signed as the service checks it', async () => {
  for (const { signing_key: key, t: now, nonce, method, path, body, signature } of commands) {
    assert.equal(await signCommand({ key, method, path, body, now, nonce }), signature);
    assert.equal(await signCommand({ key, method, path, body: new TextEncoder().encode(body), now, nonce }), signature);
  }
});

test('a frame carries its signature as its last member', async () => {
  const { signing_key: key, t: now, nonce, path: session, signature } = commands.find(({ method }) => method === 'COMMAND');
  const text = await signFrame({ key, session, frame: { type: 'COMMAND', id: 1, command: 'switch' }, now, nonce });
  assert.equal(text, `{"type":"COMMAND","id":1,"command":"switch","signature":"${signature}"}`);
  assert.equal(JSON.parse(text).signature, signature);
});

test('each signature has a nonce of its own', async () => {
  const command = { key: commands[0].signing_key, method: 'POST', path: '/', now: 1.6 };
  const made = await Promise.all(Array.from({ length: 20 }, () => signCommand(command)));
  assert.equal(new Set(made).size, 20);
  assert.ok(made.every((one) => /^t=2,nonce=[\w-]{24},v1=[\w-]{43}$/.test(one)), made[0]);
});
