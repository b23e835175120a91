import { useState } from 'react';
import { SyncKairosClient } from '@synckairos/client';
import { SyncKairosProvider } from '@synckairos/client/react';
import { ChessClock } from './ChessClock.tsx';

const client = new SyncKairosClient(location.origin);

export default function App() {
  const [id, setId] = useState(location.hash.slice(1));
  const create = async () => {
    const { session_id } = await client.createSession({
      sync_mode: 'per_participant',
      total_time_ms: 300_000,
      increment_ms: 2000,
      participants: [{ participant_id: 'white' }, { participant_id: 'black' }],
    });
    location.hash = session_id;
    setId(session_id);
  };
  return (
    <SyncKairosProvider client={client}>
      {id ? <ChessClock id={id} /> : <button onClick={create}>New game</button>}
    </SyncKairosProvider>
  );
}
