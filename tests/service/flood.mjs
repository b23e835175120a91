/**
 * A server that speaks as much of `/v1/ws` as a follower needs, and tells changes at a steady rate. The service itself
 * is not asked to write so often: here it is the client that is measured.
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const TURN_MS = 20;
const HEARTBEAT_MS = 3000;

const LIBRARY = new URL('../../sdk/', import.meta.url);

// A page may follow a server of its own origin only, so the library comes from here as well.
async function serveLibrary(request, response) {
  const isPage = request.url === '/health';
  const text = isPage ? '' : await readFile(new URL(request.url.replace('/sdk/', ''), LIBRARY)).catch(() => null);
  response.writeHead(text === null ? 404 : 200, { 'content-type': isPage ? 'text/html' : 'text/javascript' });
  response.end(text);
}

export class Flood {
  told = 0;
  #timers = new Set();

  /** @param {{snapshot: any, perSecond: number}} load the session that is told again and again, one version further each time */
  static async start({ snapshot, perSecond }) {
    const flood = new Flood();
    Object.assign(flood, { snapshot, perSecond, version: snapshot.version, ids: [] });
    flood.server = createServer(serveLibrary);
    flood.server.on('upgrade', (request, socket) => flood.#accept(request, socket));
    await new Promise((ready) => flood.server.listen(0, '127.0.0.1', ready));
    flood.base = `http://127.0.0.1:${flood.server.address().port}`;
    return flood;
  }

  stop() {
    for (const timer of this.#timers) clearInterval(timer);
    this.server.closeAllConnections();
    this.socket?.destroy();
    return new Promise((done) => this.server.close(done));
  }

  #accept(request, socket) {
    const key = createHash('sha1').update(request.headers['sec-websocket-key'] + MAGIC).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`);
    this.socket = socket;
    let rest = Buffer.alloc(0);
    socket.on('data', (data) => (rest = this.#read(Buffer.concat([rest, data]))));
    socket.on('error', () => {});
    this.#every(HEARTBEAT_MS, () => this.#say({ type: 'HEARTBEAT', payload: { now_ms: Date.now(), store: 'ok' } }));
    let beganMs = performance.now();
    let done = 0;
    this.#every(TURN_MS, () => {
      const due = ((performance.now() - beganMs) / 1000) * this.perSecond;
      for (; done < due; done += 1) this.#change();
    });
  }

  #every(ms, run) {
    this.#timers.add(setInterval(run, ms));
  }

  #change() {
    if (this.ids.length === 0) return;
    this.told += 1;
    if (this.told % this.ids.length === 0) this.version += 1;
    this.#tell('STATE_UPDATE', this.ids[this.told % this.ids.length]);
  }

  #tell(type, id) {
    const payload = { ...this.snapshot, session_id: id, version: this.version, metadata: { told: this.told } };
    this.#say({ type, session_id: id, position: `${payload.epoch}-${this.version}`, payload });
  }

  #heard({ type, id, session_id: session, timestamp }) {
    const about = { id, session_id: session };
    if (type === 'PING') this.#say({ type: 'PONG', ...about, payload: { timestamp, received_at_ms: Date.now(), sent_at_ms: Date.now(), uncertainty_ms: 0 } });
    if (type !== 'SUBSCRIBE') return;
    this.#say({ type: 'ACK', ...about, payload: {} });
    this.#tell('STATE_SYNC', session);
    this.ids.push(session);
  }

  // What a client sends is masked, and short.
  #read(data) {
    while (data.length >= 6) {
      const isLong = (data[1] & 127) === 126;
      const at = isLong ? 4 : 2;
      const length = isLong ? data.readUInt16BE(2) : data[1] & 127;
      if (data.length < at + 4 + length) break;
      const mask = data.subarray(at, at + 4);
      const text = data.subarray(at + 4, at + 4 + length).map((byte, place) => byte ^ mask[place % 4]);
      if ((data[0] & 15) === 1) this.#heard(JSON.parse(Buffer.from(text).toString()));
      data = data.subarray(at + 4 + length);
    }
    return data;
  }

  #say(frame) {
    const text = Buffer.from(JSON.stringify(frame));
    const head = text.length < 126 ? Buffer.from([0x81, text.length]) : Buffer.from([0x81, 126, text.length >> 8, text.length & 255]);
    if (this.socket.writable) this.socket.write(Buffer.concat([head, text]));
  }
}
