/** What the tests of the hooks draw, in a browser and on a server. */

import { clockText } from '../../../sdk/index.js';
import { SyncKairosProvider, useNow, useServerTime, useSession, useSyncKairos } from '../../../sdk/react.js';

const count = (name) => {
  if (globalThis.drawn) globalThis.drawn[name] += 1;
};

export function App({ client, id, participantId, otherId, parts = ['clock'] }) {
  return (
    <SyncKairosProvider client={client}>
      {parts.includes('clock') && <Clock id={id} client={client} participantId={participantId} />}
      {otherId && <Other id={otherId} />}
      {parts.includes('second') && <Second id={id} />}
      {parts.includes('silent') && <Silent id={id} />}
      {parts.includes('now') && <Now />}
      {parts.includes('time') && <Time />}
    </SyncKairosProvider>
  );
}

/** With no provider above it. */
export function Alone({ id }) {
  const { text } = clockText(useSession(id).getParticipantTime() ?? 0);
  return <output id="alone">{text}</output>;
}

function Clock({ id, client, participantId }) {
  count('clock');
  const view = useSyncKairos(id, client, participantId);
  const { text, fraction } = clockText(view.getParticipantTime() ?? 0);
  globalThis.view = view;
  return (
    <section>
      <output id="clock">{text}{fraction}</output>
      <output id="status">{view.status ?? 'none'}</output>
      <output id="error">{view.error?.code ?? 'none'}</output>
      <output id="connected">{String(view.isConnected)}</output>
      <button id="start" onClick={view.startSession}>Start</button>
      <button id="switch" onClick={view.switchCycle}>Switch</button>
      <button id="pause" onClick={view.pauseSession}>Pause</button>
      <button id="resume" onClick={view.resumeSession}>Resume</button>
      <button id="complete" onClick={view.completeSession}>Complete</button>
    </section>
  );
}

// Another session, with the same client.
function Other({ id }) {
  return <output id="other">{useSession(id).error?.code ?? 'none'}</output>;
}

// With the provider's client, and whole seconds.
function Second({ id }) {
  count('second');
  const { getAllParticipantTimes } = useSession(id, undefined, { stepMs: 1000 });
  const seconds = Object.entries(getAllParticipantTimes()).map(([name, ms]) => `${name} ${Math.floor(ms / 1000)}`);
  return <output id="second">{seconds.join(', ')}</output>;
}

// It shows no time, so no passing of time draws it.
function Silent({ id }) {
  count('silent');
  const { sessionState } = useSession(id);
  return <output id="silent">{sessionState?.version ?? 0}</output>;
}

function Now() {
  count('now');
  return <output id="now">{useNow() ?? 'none'}</output>;
}

function Time() {
  count('time');
  const { offset, uncertainty } = useServerTime();
  return <output id="time">{offset === null ? 'none' : `${offset} ${uncertainty}`}</output>;
}
