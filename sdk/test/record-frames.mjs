/**
 * Records the frames of a running service, for `recorded.test.js`:
 *
 *   node sdk/test/record-frames.mjs http://127.0.0.1:8080 > sdk/test/recorded-frames.json
 *
 * They stay as a release sent them, so that a later library still reads them.
 */

import { Connection, Rest, serverSentEvents } from '../index.js';
import { newKey } from '../keys.js';

const base = process.argv[2];
const rest = new Rest({ base });
const two = [{ participant_id: 'a' }, { participant_id: 'b' }];

/** A session of each mode, and what is done with it. @type {Record<string, [any, [string, any?][]]>} */
const SCRIPTS = {
  game: [{ sync_mode: 'per_participant', total_time_ms: 60_000, increment_ms: 2000, participants: two, warnings_ms: [10_000], lag_policy: 'standard', time_control: { overtime: { type: 'byoyomi', periods: 3, period_ms: 5000 } } },
    [['start'], ['switch', { current_participant_id: 'a' }], ['pause', { reason: 'tea' }], ['resume'], ['adjust', { participant_id: 'b', add_ms: -1000 }], ['complete']]],
  expiry: [{ sync_mode: 'per_participant', total_time_ms: 400, participants: two, warnings_ms: [200] }, [['start']]],
  groups: [{ sync_mode: 'per_group', total_time_ms: 400, groups: [{ group_id: 'red' }, { group_id: 'blue' }], participants: [{ participant_id: 'a', group_id: 'red' }, { participant_id: 'b', group_id: 'blue' }] }, [['start']]],
  cycles: [{ sync_mode: 'per_cycle', time_per_cycle_ms: 20_000, participants: [{ participant_id: 'a', total_time_ms: 5000 }, { participant_id: 'b' }] }, [['start'], ['switch'], ['cancel']]],
  auction: [{ sync_mode: 'global', total_time_ms: 5000, soft_close: { window_ms: 60_000, extension_ms: 60_000 } }, [['start'], ['extend'], ['complete']]],
  stopwatch: [{ sync_mode: 'count_up' }, [['start'], ['switch'], ['pause']]],
  exam: [{ sync_mode: 'per_participant', concurrency: 'simultaneous', total_time_ms: 400, participants: two }, [['start'], ['pause', { participant_id: 'a' }], ['resume', { participant_id: 'a' }]]],
  deleted: [{ sync_mode: 'global', total_time_ms: 5000 }, [['delete']]],
};

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const recorded = {};
for (const [name, [config, commands]] of Object.entries(SCRIPTS)) {
  const { session_id: id } = await rest.create(config);
  const frames = [];
  const connection = new Connection({ base, sessionId: id, transport: 'sse', transports: { sse: serverSentEvents() } });
  connection.on('frame', (frame) => frames.push(frame));
  connection.open();
  while (!connection.session) await pause(10);
  for (const [command, fields = {}] of commands) {
    await rest.command(id, command, fields, newKey());
    await pause(50);
  }
  await pause(700);
  recorded[name] = { frames: frames.filter(({ type }) => type !== 'HEARTBEAT'), ends: await rest.read(id).catch(() => null) };
  connection.close();
}
const lines = Object.entries(recorded).map(([name, { frames, ends }]) => `${JSON.stringify(name)}: {"frames": [\n${frames.map((frame) => JSON.stringify(frame)).join(',\n')}\n], "ends": ${JSON.stringify(ends)}}`);
console.log(`{${lines.join(',\n')}}`);
