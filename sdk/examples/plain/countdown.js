/** A countdown that every window on the same address shows alike. */

import { SyncKairosClient, clockText } from '@synckairos/client';

const SERVICE = 'http://localhost:8080';

const client = new SyncKairosClient(SERVICE);
const [digits, toggle, note] = ['digits', 'toggle', 'note'].map((id) => document.getElementById(id));

// The session stands in the address, so that a second window follows the same one.
if (!location.hash) {
  const { session_id } = await client.createSession({ sync_mode: 'global', total_time_ms: 60_000 });
  location.hash = session_id;
}
const id = location.hash.slice(1);

const COMMANDS = {
  pending: { label: 'Start', press: () => client.startSession(id) },
  running: { label: 'Pause', press: () => client.pauseSession(id) },
  paused: { label: 'Resume', press: () => client.resumeSession(id) },
};

client.connect(id, ({ status }) => {
  toggle.disabled = !(status in COMMANDS);
  toggle.textContent = COMMANDS[status]?.label ?? 'Time is up';
});

toggle.addEventListener('click', async () => {
  try {
    await COMMANDS[client.session(id).status].press();
  } catch (error) {
    note.textContent = error.message;
  }
});

function draw() {
  const left = client.remaining('session', id);
  if (left !== null) digits.textContent = clockText(left, 0).text;
  requestAnimationFrame(draw);
}

draw();
