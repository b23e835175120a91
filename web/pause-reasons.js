/** Why a clock stands still, in words. Pure. */

/**
 * Why the whole session is paused; empty if it is not.
 *
 * @param {string[]} reasons As the snapshot has them.
 * @param {string|null} since When the server went away, if it did and that is known.
 * @returns {string}
 */
export function pausedText(reasons, since = null) {
  if (reasons.length === 0) return '';
  const [reason] = reasons;
  if (reasons.length > 1) return `Paused for ${reasons.length} reasons: ${reasons.map((one) => clause(one, since)).join('; ')}.`;
  if (reason === 'outage') return `Paused${since ? ` since ${since}` : ''}: the server was away. Nobody was charged.`;
  return reason === 'requested' ? 'Paused on request.' : `Paused: ${clause(reason, since)}.`;
}

/**
 * The same beside one clock of many: short, and of its own reasons only.
 *
 * @param {string[]} reasons
 */
export function pausedNote(reasons) {
  const told = reasons.filter((reason) => reason !== 'requested').map((reason) => KNOWN.get(reason) ?? quoted(reason));
  return told.length > 0 ? `Paused: ${told.join('; ')}` : 'Paused';
}

const KNOWN = new Map([
  ['outage', 'the server was away'],
  ['timeout', 'time ran out'],
  ['settle_limit', 'too many turns ran out, one after the other'],
  ['idle', 'nobody was here'],
  ['requested', 'somebody asked for it'],
]);

function clause(reason, since) {
  if (reason === 'outage') return `the server was away${since ? ` from ${since}` : ''}, and nobody was charged`;
  return KNOWN.get(reason) ?? quoted(reason);
}

// Whoever paused it may give any reason; it is shown as their word, not ours.
function quoted(reason) {
  return `“${reason}”`;
}
