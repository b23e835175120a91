import { clockText } from '@synckairos/client';
import { useSession } from '@synckairos/client/react';

export function ChessClock({ id }: { id: string }) {
  const { sessionState, status, isConnected, error, ...clock } = useSession(id);
  if (!sessionState) return <p>{error?.message ?? 'One moment'}</p>;
  return (
    <main>
      {sessionState.participants.map(({ participant_id }) => (
        <Side key={participant_id} id={id} name={participant_id} />
      ))}
      {status === 'pending' && <button onClick={clock.startSession}>Start</button>}
      {status === 'running' && <button onClick={clock.pauseSession}>Pause</button>}
      {status === 'paused' && <button onClick={clock.resumeSession}>Resume</button>}
      <p>{error?.message ?? (isConnected ? status : 'No connection')}</p>
    </main>
  );
}

// Only the side whose time runs is drawn again.
function Side({ id, name }: { id: string; name: string }) {
  const { getParticipantTime, activeParticipantId, status, switchCycle } = useSession(id, name);
  const { text, fraction } = clockText(getParticipantTime() ?? 0);
  const mayPress = status === 'running' && activeParticipantId === name;
  return <button id={name} disabled={!mayPress} onClick={switchCycle}>{name} {text}{fraction}</button>;
}
