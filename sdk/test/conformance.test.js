/**
 * The library reads every clock as the server's engine does: each snapshot the conformance vectors
 * pass through, at instants around it. The server's own tests keep the file in step with the engine.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { read } from '../clock.js';

const file = new URL('../../tests/golden/projections.json', import.meta.url);
const projections = JSON.parse(readFileSync(file, 'utf8'));

const byVector = Map.groupBy?.(projections, (one) => one.vector) ?? grouped(projections);

for (const [vector, ones] of byVector) {
  test(vector, () => {
    for (const { snapshot, shown } of ones) check(snapshot, shown);
  });
}

function check(snapshot, shown) {
  const session = { participants: [], groups: [], ...snapshot };
  for (const [at, clocks] of shown) {
    const came = Object.fromEntries(Object.keys(clocks).map((id) => [id, shownBy(session, id, at)]));
    assert.deepEqual(came, clocks, `at ${at} ms of ${JSON.stringify(snapshot)}`);
  }
}

// Of a turn the engine tells the cycle's clock and the reserves apart; the library reads both as one.
function shownBy(session, id, at) {
  const reading = read(session, id, at);
  if (session.sync_mode !== 'per_cycle') return reading.shown_ms;
  if (id !== 'session') return reading.reserve_ms;
  return reading.phase.type === 'reserve' ? 0 : reading.shown_ms;
}

function grouped(all) {
  const groups = new Map();
  for (const one of all) groups.set(one.vector, [...(groups.get(one.vector) ?? []), one]);
  return groups;
}
