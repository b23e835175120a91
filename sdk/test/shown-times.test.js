/** When a display draws again: over every snapshot that the conformance vectors pass through. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { clockIds, shownMs, statusAt } from '../clock.js';
import { textOf } from '../instant.js';
import { ShownTimes } from '../shown-times.js';

const STEP_MS = 100;

const file = new URL('../../tests/golden/projections.json', import.meta.url);
const moments = JSON.parse(readFileSync(file, 'utf8')).flatMap(({ snapshot, shown }) => {
  const session = { participants: [], groups: [], ...snapshot };
  return shown.map(([at]) => ({ session, at }));
});

/** What a display in tenths shows. */
function textAt(session, at) {
  const steps = clockIds(session).map((id) => Math.floor(shownMs(session, id, at) / STEP_MS));
  return [statusAt(session, at), ...steps].join(' ');
}

function shownAt(session, at) {
  const times = new ShownTimes(STEP_MS);
  times.readStatus(session, at);
  for (const id of clockIds(session)) times.read(session, id, at);
  return times;
}

test('what is shown is outdated just when a text differs, and no change is slept through', () => {
  let changes = 0;
  for (const { session, at } of moments) {
    const times = shownAt(session, at);
    const waitMs = times.nextChangeInMs(session, at) ?? 5000;
    for (const share of [0.1, 0.5, 0.9]) {
      const before = at + Math.floor(Math.min(waitMs - 1, 5000) * share);
      const isSame = textAt(session, before) === textAt(session, at) && !times.isOutdated(session, before);
      if (!isSame) assert.fail(`${before - at} of ${waitMs} ms after ${at}: ${JSON.stringify(session)}`);
    }
    const after = at + waitMs;
    assert.equal(times.isOutdated(session, after), textAt(session, after) !== textAt(session, at));
    changes += Number(times.isOutdated(session, after));
  }
  assert.ok(changes > 500, `${changes} changes in ${moments.length} moments`);
});

test('a running clock is looked at once a step, not more often', () => {
  const at = Date.parse('2026-01-01T00:00:00Z');
  const clocks = { participant_id: 'a', total_time_ms: 60_000, time_used_ms: 0, phase: { type: 'main' } };
  const session = {
    sync_mode: 'per_participant', status: 'running', active_participant_id: 'a', cycle_started_at: textOf(at), participants: [clocks], groups: [], edges: [],
  };
  let looks = 0;
  for (let now = at + 1; now < at + 10_001; looks += 1) now += shownAt(session, now).nextChangeInMs(session, now);
  assert.ok(looks >= 100 && looks <= 102, `${looks} looks in 10 s`);
});

test('nothing wakes a display of a clock that stands still, but the instant of a scheduled start', () => {
  const at = Date.parse('2026-01-01T00:00:00Z');
  const paused = { sync_mode: 'global', status: 'paused', total_time_ms: 60_000, cycle_started_at: null, participants: [], groups: [], edges: [] };
  assert.equal(shownAt(paused, at).nextChangeInMs(paused, at), null);
  const startsAt = textOf(at + 5000);
  const scheduled = { ...paused, status: 'pending', starts_at: startsAt, edges: [{ at: startsAt, type: 'start', remaining_ms: 60_000 }] };
  const times = shownAt(scheduled, at);
  assert.equal(times.nextChangeInMs(scheduled, at), 5000);
  assert.equal(times.isOutdated(scheduled, at + 4999), false);
  assert.equal(times.isOutdated(scheduled, at + 5000), true);
});

test('a later reading does not hide that the screen is outdated', () => {
  const at = Date.parse('2026-01-01T00:00:00Z');
  const session = { sync_mode: 'global', status: 'running', total_time_ms: 60_000, cycle_started_at: textOf(at), participants: [], groups: [], edges: [] };
  const times = shownAt(session, at + 50);
  times.read(session, 'session', at + 150);
  assert.equal(times.isOutdated(session, at + 150), true);
});
