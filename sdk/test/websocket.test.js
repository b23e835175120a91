import assert from 'node:assert/strict';
import { test } from 'node:test';

import { protocolsOf, urlOf, webSockets } from '../websocket.js';

const address = { base: 'https://x.test', sessionId: 'a:b', last: '9-3', heartbeatMs: 5000, token: 'h.p-_.s' };

test('the address of a WebSocket has no token', () => {
  assert.equal(urlOf(address), 'wss://x.test/v1/sessions/a%3Ab/ws?heartbeat_ms=5000&last=9-3');
});

test('the token is a subprotocol beside the server’s', () => {
  assert.deepEqual(protocolsOf(address), ['synckairos.v1', 'bearer.h.p-_.s']);
  assert.deepEqual(protocolsOf({ ...address, token: null }), []);
});

test('a WebSocket is opened with both subprotocols', () => {
  const opened = [];
  class WebSocket extends EventTarget {
    constructor(url, protocols) {
      super();
      opened.push([url, protocols]);
    }
  }
  const listener = { opened() {}, frame() {}, closed() {} };
  webSockets(/** @type {any} */ (WebSocket))(address, listener);
  assert.deepEqual(opened, [[urlOf(address), protocolsOf(address)]]);
});
