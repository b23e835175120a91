/** A WebSocket as far as a proxy is concerned: the upgrade, and the frames that come. */

import { randomBytes } from 'node:crypto';
import { request } from 'node:http';

/** Frames of a stream, as they come; refused if the upgrade is. */
export function upgraded(url) {
  const headers = {
    Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
  };
  return new Promise((resolve, reject) => {
    const asking = request(url, { headers });
    asking.on('upgrade', (_answer, socket, head) => resolve(new Frames(socket, head)));
    asking.on('response', (answer) => reject(new Error(`no upgrade: ${answer.statusCode}`)));
    asking.on('error', reject);
    asking.end();
  });
}

class Frames {
  /** @type {any[]} */
  told = [];
  #rest;

  constructor(socket, head) {
    this.socket = socket;
    this.#rest = head;
    socket.on('error', () => {});
    socket.on('data', (more) => this.#take(more));
    this.#take(Buffer.alloc(0));
  }

  close() {
    this.socket.destroy();
  }

  // A server's frames are not masked, and ours are whole and under 64 KiB.
  #take(more) {
    this.#rest = Buffer.concat([this.#rest, more]);
    for (let one = this.#next(); one; one = this.#next()) {
      if (one.opcode === 1) this.told.push(JSON.parse(one.payload));
    }
  }

  #next() {
    if (this.#rest.length < 4) return null;
    const short = this.#rest[1];
    const from = short === 126 ? 4 : 2;
    const end = from + (short === 126 ? this.#rest.readUInt16BE(2) : short);
    if (this.#rest.length < end) return null;
    const one = { opcode: this.#rest[0] & 15, payload: this.#rest.subarray(from, end).toString() };
    this.#rest = this.#rest.subarray(end);
    return one;
  }
}
