/**
 * A backend that makes games and lets their players in. The operator's token stays here: a player gets a short-lived
 * token for one seat. When a clock runs out, this process is told.
 */

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Rest, SyncKairosClient } from '@synckairos/client';

const { SYNCKAIROS_URL: service = 'http://localhost:8080', SYNCKAIROS_TOKEN: token, PORT = '3000' } = process.env;

const client = new SyncKairosClient(service, { token });
const rest = new Rest({ base: service, token });

client.on('timeExpired', ({ sessionId, participant_id }) => console.log(`${participant_id} is out of time in ${sessionId}`));
client.on('error', ({ error }) => console.error(error.message));

const ROUTES = [
  ['POST', /^\/games$/, () => createGame()],
  ['POST', /^\/games\/([\w-]+)\/start$/, (id) => client.startSession(id)],
  // A real backend asks here who wants the seat.
  ['POST', /^\/games\/([\w-]+)\/seats\/(white|black)$/, (id, seat) => rest.createToken(id, { participant_id: seat, ttl_ms: 600_000 })],
];

const FILES = { '/': 'index.html', '/game.js': 'game.js' };

async function createGame() {
  const participants = [{ participant_id: 'white' }, { participant_id: 'black' }];
  const total_time_ms = Number(process.env.SECONDS ?? 300) * 1000;
  const { session_id } = await client.createSession({ sync_mode: 'per_participant', total_time_ms, participants });
  client.connect(session_id);
  return { id: session_id, service };
}

/** The page, and the library that it loads. */
async function fileOf(path) {
  const [, name] = /^\/client\/([\w-]+\.js)$/.exec(path) ?? [];
  const file = name ? new URL(name, import.meta.resolve('@synckairos/client')) : new URL(FILES[path], import.meta.url);
  return { type: path === '/' ? 'text/html' : 'text/javascript', text: await readFile(fileURLToPath(file)) };
}

async function answer({ method, url }) {
  for (const [wanted, path, act] of ROUTES) {
    const found = method === wanted && path.exec(url);
    if (found) return { type: 'application/json', text: JSON.stringify(await act(...found.slice(1))) };
  }
  return fileOf(url);
}

createServer(async (request, response) => {
  try {
    const { type, text } = await answer(request);
    response.writeHead(200, { 'content-type': type }).end(text);
  } catch (error) {
    response.writeHead(error.status || 404, { 'content-type': 'application/json' }).end(JSON.stringify({ error: error.message }));
  }
}).listen(Number(PORT), () => console.log(`http://localhost:${PORT}`));
