/** Every body that the library sends, as the server takes it: its fields, and which of them go together. */

import { CHANGE, COUNT, FLAG, ID, INSTANT, OBJECT, REASON, SPAN, check, checkFields, oneOf } from './checks.js';
import { SYNC_MODES } from './modes.js';

const TARGET = 'participant_id group_id';
const PARTICIPANT = `${TARGET} total_time_ms participant_index time_control metadata`;
const GROUP = 'group_id total_time_ms';
const SESSION = 'session_id sync_mode participants groups total_time_ms time_per_cycle_ms increment_ms max_time_ms'
  + ' time_control concurrency soft_close rights lag_policy on_outage auto_advance action_on_timeout warnings_ms metadata';

/** The fields of each command. @type {Record<string, string>} */
const COMMANDS = {
  start: 'at participant_id',
  switch: 'current_participant_id next_participant_id next_group_id client_time_ms',
  pause: `${TARGET} reason`,
  resume: `${TARGET} reason`,
  complete: TARGET,
  cancel: '',
  reset: '',
  adjust: `${TARGET} add_ms set_ms`,
  extend: '',
  revert: 'to_version',
  add_participant: PARTICIPANT,
  change_participant: PARTICIPANT,
  remove_participant: 'participant_id',
  clone: 'new_session_id',
  delete: '',
};

/** One of these is needed. @type {Record<string, string>} */
const NEEDED = { adjust: 'add_ms set_ms', revert: 'to_version', change_participant: 'participant_id', remove_participant: 'participant_id' };

// Only one of each line may be there.
const RIVALS = ['add_ms set_ms', 'next_participant_id next_group_id'];

/** @param {number} max @returns {import('./checks.js').Kind} */
const list = (max) => ({ isFine: (value) => Array.isArray(value) && value.length <= max, wanted: `a list of at most ${max}` });

/** The kinds that the name of a field does not tell. @type {Record<string, import('./checks.js').Kind>} */
const KINDS = {
  sync_mode: oneOf(SYNC_MODES),
  participants: list(1024),
  groups: list(1024),
  warnings_ms: list(16),
  at: INSTANT,
  client_time_ms: INSTANT,
  add_ms: CHANGE,
  reason: REASON,
  participant_index: COUNT,
  auto_advance: FLAG,
  concurrency: oneOf(['exclusive', 'simultaneous']),
  lag_policy: oneOf(['none', 'strict', 'standard', 'friendly']),
  on_outage: oneOf(['pause', 'charge']),
};

/**
 * @param {string} command
 * @param {any} body
 */
export function checkCommand(command, body) {
  check(command, 'command', oneOf(Object.keys(COMMANDS)));
  const there = checkFields(body, command, `expected_version ${COMMANDS[command]}`, kindOf);
  const isParticipant = COMMANDS[command] === PARTICIPANT;
  for (const names of isParticipant ? [] : [...RIVALS, TARGET]) {
    const both = names.split(' ').filter((name) => there.includes(name));
    if (both.length > 1) throw new TypeError(`${command}.${both[1]} does not go with ${both[0]}`);
  }
  if (NEEDED[command]) need(there, command, NEEDED[command]);
}

/** @param {any} config */
export function checkConfig(config) {
  need(checkFields(config, 'config', SESSION, kindOf), 'config', 'sync_mode');
  each(config, 'participants', PARTICIPANT);
  each(config, 'groups', GROUP);
}

/**
 * @param {any} config
 * @param {string} name
 * @param {string} known
 */
function each(config, name, known) {
  config[name]?.forEach((/** @type {any} */ one, /** @type {number} */ at) => checkFields(one, `config.${name}[${at}]`, known, kindOf));
}

/**
 * @param {string[]} there
 * @param {string} name
 * @param {string} fields
 */
function need(there, name, fields) {
  const names = fields.split(' ');
  if (!names.some((field) => there.includes(field))) throw new TypeError(`${name}.${names.join(' or ')} is needed`);
}

/** @param {string} field */
function kindOf(field) {
  if (Object.hasOwn(KINDS, field)) return KINDS[field];
  if (field.endsWith('_id')) return ID;
  if (field.endsWith('_ms')) return SPAN;
  return field.endsWith('_version') ? COUNT : OBJECT;
}
