/** From what the form says to what the server is asked to create. Pure. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;

// Told in good time, and again when it matters; those a clock begins below would be noise.
const WARNINGS = [60 * SECOND, 10 * SECOND, 5 * SECOND];

/**
 * @typedef {object} Wanted
 * @property {'chess'|'countdown'|'stopwatch'} kind
 * @property {string} [title]
 * @property {number} [minutes]
 * @property {number} [increment]
 * @property {string[]} [names]
 * @property {number} [length_s]
 * @property {number} [limit]
 */

/** @param {Wanted} wanted */
export function configOf(wanted) {
  const title = wanted.title?.trim();
  return { ...KINDS[wanted.kind](wanted), metadata: title ? { title } : {} };
}

/**
 * What keeps `wanted` from being made, in plain words; null if nothing does.
 *
 * @param {Wanted} wanted
 */
export function objectionTo(wanted) {
  const numbers = [wanted.minutes, wanted.increment, wanted.length_s, wanted.limit].filter((one) => one !== undefined);
  if (numbers.some((one) => !Number.isFinite(one) || one < 0)) return 'Times are numbers, and not below zero.';
  if (wanted.kind === 'chess' && !wanted.minutes && !wanted.increment) return 'Nobody can play without time.';
  if (wanted.kind === 'countdown' && !wanted.length_s) return 'A countdown needs something to count down from.';
  return null;
}

const KINDS = { chess, countdown, stopwatch };

function chess({ minutes, increment, names }) {
  const total = Math.round(minutes * MINUTE);
  return {
    sync_mode: 'per_participant',
    increment_ms: Math.round(increment * SECOND),
    total_time_ms: total,
    warnings_ms: warningsBelow(total),
    participants: names.map((name, at) => participant(name, at, total)),
  };
}

function participant(name, at, total) {
  const shown = name.trim() || `Player ${at + 1}`;
  return { participant_id: `p${at + 1}`, participant_index: at, total_time_ms: total, metadata: { name: shown } };
}

function countdown({ length_s: length }) {
  const total = Math.round(length * SECOND);
  return { sync_mode: 'global', total_time_ms: total, warnings_ms: warningsBelow(total) };
}

function stopwatch({ limit }) {
  return { sync_mode: 'count_up', ...(limit ? { max_time_ms: Math.round(limit * MINUTE) } : {}) };
}

function warningsBelow(total) {
  return WARNINGS.filter((ms) => ms < total);
}
