/** A network between a client and a server: every piece of data is late by a random time, and order is kept. */

import { connect, createServer } from 'node:net';

export class JitteryProxy {
  /** @type {Set<import('node:net').Socket>} */
  #sockets = new Set();

  /**
   * @param {number} port of the server behind it
   * @param {{leastMs: number, mostMs: number}} delay of each piece, each way
   */
  static async before(port, delay) {
    const proxy = new JitteryProxy();
    proxy.server = createServer((socket) => proxy.#pass(socket, connect(port, '127.0.0.1'), delay));
    await new Promise((ready) => proxy.server.listen(0, '127.0.0.1', ready));
    proxy.base = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((done) => this.server.close(done));
  }

  #pass(socket, onward, delay) {
    for (const [end, other] of [[socket, onward], [onward, socket]]) {
      this.#sockets.add(end);
      end.setNoDelay(true);
      let freeMs = 0;
      end.on('data', (data) => {
        const wait = delay.leastMs + Math.random() * (delay.mostMs - delay.leastMs);
        freeMs = Math.max(freeMs, performance.now() + wait);
        setTimeout(() => other.writable && other.write(data), freeMs - performance.now());
      });
      end.on('error', () => other.destroy());
      end.on('close', () => {
        this.#sockets.delete(end);
        other.destroy();
      });
    }
  }
}
