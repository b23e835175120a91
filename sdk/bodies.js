/** Every body that the library sends, as the server takes it: one table for the commands, and one for a session. */

import { all, change, count, fields, flag, id, instant, list, number, object, oneOf, only, refuse, span, text } from './checks.js';
import { SYNC_MODES } from './modes.js';

const TARGET = { participant_id: id, group_id: id };
const EVERY = { expected_version: count };
const REASON = { reason: text(64) };

const PARTICIPANT = {
  participant_id: id,
  total_time_ms: span,
  group_id: id,
  participant_index: count,
  time_control: object,
  metadata: object,
};

/** One clock, or the session. */
const ofTarget = only(['participant_id', 'group_id']);

/** @type {Record<string, import('./checks.js').Check>} */
const COMMANDS = {
  start: fields({ ...EVERY, at: instant, participant_id: id }),
  switch: all(
    fields({ ...EVERY, current_participant_id: id, next_participant_id: id, next_group_id: id, client_time_ms: number }),
    only(['next_participant_id', 'next_group_id']),
  ),
  pause: all(fields({ ...EVERY, ...TARGET, ...REASON }), ofTarget),
  resume: all(fields({ ...EVERY, ...TARGET, ...REASON }), ofTarget),
  complete: all(fields({ ...EVERY, ...TARGET }), ofTarget),
  cancel: fields(EVERY),
  reset: fields(EVERY),
  adjust: all(fields({ ...EVERY, ...TARGET, add_ms: change, set_ms: span }), ofTarget, only(['add_ms', 'set_ms'], true)),
  extend: fields(EVERY),
  revert: fields({ ...EVERY, to_version: count }, ['to_version']),
  add_participant: fields({ ...EVERY, ...PARTICIPANT }),
  change_participant: fields({ ...EVERY, ...PARTICIPANT }, ['participant_id']),
  remove_participant: fields({ ...EVERY, participant_id: id }, ['participant_id']),
  clone: fields({ ...EVERY, new_session_id: id }),
  delete: fields(EVERY),
};

const ACTIONS = ['expire', 'advance', 'pause', 'complete', 'continue'];

const SESSION = fields({
  session_id: id,
  sync_mode: oneOf(SYNC_MODES),
  participants: list(fields(PARTICIPANT), 1024),
  groups: list(fields({ group_id: id, total_time_ms: span }, ['group_id']), 1024),
  total_time_ms: span,
  time_per_cycle_ms: span,
  increment_ms: span,
  max_time_ms: span,
  time_control: object,
  concurrency: oneOf(['exclusive', 'simultaneous']),
  soft_close: object,
  rights: object,
  lag_policy: oneOf(['none', 'strict', 'standard', 'friendly']),
  on_outage: oneOf(['pause', 'charge']),
  auto_advance: flag,
  action_on_timeout: fields({ type: oneOf(ACTIONS) }, ['type']),
  warnings_ms: list(span, 16),
  metadata: object,
}, ['sync_mode']);

/**
 * @param {string} command
 * @param {unknown} body
 */
export function checkCommand(command, body) {
  if (!Object.hasOwn(COMMANDS, command)) refuse('command', `one of ${Object.keys(COMMANDS).join(', ')}`, command);
  COMMANDS[command](body, command);
}

/** @param {unknown} config */
export function checkConfig(config) {
  SESSION(config, 'config');
}
