/**
 * The position of a session: `(epoch, version)`, as text `<epoch>-<version>`. Larger is newer; the epoch is
 * compared first.
 *
 * @typedef {{epoch: number, version: number}} Position
 */

/**
 * @param {string|null|undefined} text
 * @returns {Position|null}
 */
export function parsePosition(text) {
  const found = /^(\d+)-(\d+)$/.exec(text ?? '');
  return found ? { epoch: Number(found[1]), version: Number(found[2]) } : null;
}

/** @param {Position} position */
export function positionText({ epoch, version }) {
  return `${epoch}-${version}`;
}

/**
 * @param {Position} position
 * @param {Position|null} than null is older than everything
 */
export function isNewer(position, than) {
  if (!than) return true;
  return position.epoch === than.epoch ? position.version > than.version : position.epoch > than.epoch;
}
