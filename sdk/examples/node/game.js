/** The page of one player. Without a game in the address it makes one, takes white, and names the address for black. */

import { SyncKairosClient, clockText } from '@synckairos/client';

const post = async (path) => (await fetch(path, { method: 'POST' })).json();
const element = (id) => document.getElementById(id);

if (!location.hash) {
  const { id, service } = await post('/games');
  location.hash = new URLSearchParams({ id, service, seat: 'white' }).toString();
  element('note').textContent = `${location.href.replace('seat=white', 'seat=black')}`;
}
const { id, service, seat } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

// Asked again before the token ends.
const token = async () => (await post(`/games/${id}/seats/${seat}`)).token;
const client = new SyncKairosClient(service, { token });

client.connect(id, ({ status, active_participant_id: active }) => {
  element('seat').textContent = `${seat}: ${status}`;
  element('move').disabled = !(status === 'running' && active === seat);
});

element('move').addEventListener('click', () => {
  client.switchCycle(id, { current_participant_id: seat }).catch((error) => (element('note').textContent = error.message));
});

// Both are here once black is: then the game begins.
if (seat === 'black') await post(`/games/${id}/start`);

function draw() {
  for (const name of ['white', 'black']) {
    const left = client.remaining(name, id);
    if (left !== null) element(name).textContent = clockText(left).text;
  }
  requestAnimationFrame(draw);
}

draw();
