/**
 * A proxy that does to streams what networks do to them: lets them through,
 * refuses them, swallows them without a word, or opens them and holds back what comes.
 *
 * @typedef {'websocket'|'sse'|'poll'|'plain'} Kind
 * @typedef {'pass'|'refuse'|'swallow'|'hold'} Way
 */

import { createServer, request } from 'node:http';
import { connect } from 'node:net';

export class FaultyProxy {
  /** @type {Record<Kind, Way>} */
  #ways = { websocket: 'pass', sse: 'pass', poll: 'pass', plain: 'pass' };
  /** What is under way, to be dealt with when the way of its kind changes. @type {Set<{kind: Kind, cut: () => void, silence: () => void}>} */
  #open = new Set();

  /** @param {number} port of the server behind it */
  static async before(port) {
    const proxy = new FaultyProxy();
    proxy.port = port;
    proxy.server = createServer((asked, answer) => proxy.#pass(asked, answer));
    proxy.server.on('upgrade', (asked, socket, head) => proxy.#upgrade(asked, socket, head));
    await new Promise((ready) => proxy.server.listen(0, '127.0.0.1', ready));
    proxy.base = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  /**
   * From now on, and what is open at once.
   *
   * @param {Kind} kind
   * @param {Way} way
   */
  disturb(kind, way) {
    this.#ways[kind] = way;
    for (const one of this.#open) {
      if (one.kind !== kind || way === 'pass') continue;
      if (way === 'refuse') one.cut();
      else one.silence();
    }
  }

  /** Everything goes through again; what was swallowed stays so. */
  letThrough() {
    for (const kind of Object.keys(this.#ways)) this.#ways[kind] = 'pass';
  }

  close() {
    for (const one of this.#open) one.cut();
    this.server.closeAllConnections();
    return new Promise((done) => this.server.close(done));
  }

  #pass(asked, answer) {
    const kind = kindOf(asked.url);
    const way = this.#ways[kind];
    if (way === 'refuse') return void answer.destroy();
    const onward = request({ host: '127.0.0.1', port: this.port, method: asked.method, path: asked.url, headers: asked.headers });
    const one = { kind, cut: () => answer.destroy(), silence: () => {} };
    this.#keep(one, answer);
    answer.on('close', () => onward.destroy());
    if (way === 'swallow') return;
    onward.on('error', () => answer.destroy());
    onward.on('response', (came) => {
      answer.writeHead(came.statusCode, came.headers);
      answer.flushHeaders();
      came.on('error', () => answer.destroy());
      one.silence = () => void came.unpipe(answer).resume();
      if (way === 'hold') came.resume();
      else came.pipe(answer);
    });
    asked.pipe(onward);
  }

  #upgrade(asked, socket, head) {
    const way = this.#ways.websocket;
    if (way === 'refuse') return void socket.destroy();
    const onward = connect(this.port, '127.0.0.1');
    const silence = () => {
      for (const end of [socket, onward]) end.unpipe().resume();
    };
    this.#keep({ kind: 'websocket', cut: () => socket.destroy(), silence }, socket);
    for (const [end, other] of [[socket, onward], [onward, socket]]) {
      end.on('error', () => other.destroy());
      end.on('close', () => other.destroy());
    }
    if (way !== 'pass') return void silence();
    onward.write(`${headOf(asked)}\r\n\r\n`);
    onward.write(head);
    onward.pipe(socket);
    socket.pipe(onward);
  }

  #keep(one, end) {
    this.#open.add(one);
    end.on('close', () => this.#open.delete(one));
  }
}

function kindOf(url) {
  const { pathname } = new URL(url, 'http://x');
  return { events: 'sse', poll: 'poll' }[pathname.split('/').at(-1)] ?? 'plain';
}

function headOf({ method, url, rawHeaders }) {
  const lines = Array.from({ length: rawHeaders.length / 2 }, (_, at) => `${rawHeaders[2 * at]}: ${rawHeaders[2 * at + 1]}`);
  return [`${method} ${url} HTTP/1.1`, ...lines].join('\r\n');
}
