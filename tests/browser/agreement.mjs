/** What two windows must agree on: the values at one true instant, and what is written on the screen. */

import assert from 'node:assert/strict';
import { msOfText, samples, shownAt, untilPast, versionOf } from './windows.mjs';

export const WITHIN_MS = 50;
const TENTH_MS = 100;
const SECOND_MS = 1000;

/** Does `act`, and waits until every window holds what came of it. */
export async function stepped(act, pages) {
  const before = await versionOf(pages[0]);
  await act();
  await untilPast(before, pages);
}

/** All windows show the same: by the values, corrected to one true instant, and by what is written on the screen. */
export async function agree(pages) {
  const seen = await samples(pages);
  const [first] = seen;
  for (const id of Object.keys(first.clocks)) {
    for (const sample of seen) {
      const apart = Math.abs(shownAt(sample, id, first.trueMs) - first.clocks[id].shownMs);
      assert.ok(apart <= WITHIN_MS, `${id}: the windows are ${apart.toFixed(1)} ms apart`);
      writtenIsShown(sample.clocks[id], id);
    }
    if (seen.every((sample) => sample.clocks[id].pace === 0)) assert.equal(new Set(seen.map((sample) => sample.clocks[id].text)).size, 1, id);
  }
  return seen;
}

// The text on the screen is the value, rounded down, and at most some frames old.
function writtenIsShown({ text, shownMs, pace }, id) {
  const apart = Math.abs(msOfText(text) - shownMs);
  const digit = text.includes('.') ? TENTH_MS : SECOND_MS;
  assert.ok(apart <= digit + (pace ? WITHIN_MS : 1), `${id}: ${text} is written, ${shownMs} ms shown`);
}
