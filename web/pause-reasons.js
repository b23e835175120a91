/** The texts of pause reasons. Pure. */

/**
 * Why the whole session is paused; empty if it is not.
 *
 * @param {string[]} reasons Those of the snapshot.
 * @param {string|null} since When the outage began, if known.
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
  const texts = reasons.filter((reason) => reason !== 'requested').map((reason) => REASON_TEXTS.get(reason) ?? quote(reason));
  return texts.length > 0 ? `Paused: ${texts.join('; ')}` : 'Paused';
}

const REASON_TEXTS = new Map([
  ['outage', 'the server was away'],
  ['timeout', 'time ran out'],
  ['settle_limit', 'too many turns ran out, one after the other'],
  ['idle', 'nobody was here'],
  ['requested', 'somebody asked for it'],
]);

function clause(reason, since) {
  if (reason === 'outage') return `the server was away${since ? ` from ${since}` : ''}, and nobody was charged`;
  return REASON_TEXTS.get(reason) ?? quote(reason);
}

// A caller may give any reason; it is shown as a quotation.
function quote(reason) {
  return `“${reason}”`;
}
