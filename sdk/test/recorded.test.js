/** Frames as a release of the service sent them; `record-frames.mjs` records them anew. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { clockIds, read } from '../clock.js';
import { Connection } from '../connection.js';
import { Cues } from '../cues.js';
import { FakeNetwork, FakeTimers, fakeRest } from './fakes.js';

const recorded = JSON.parse(readFileSync(new URL('recorded-frames.json', import.meta.url), 'utf8'));

/** The frames of one record, through a connection. */
function replayed(frames) {
  const [network, timers] = [new FakeNetwork(), new FakeTimers()];
  const connection = new Connection({ base: 'http://x', sessionId: 's', transport: network.transport, timers, rest: fakeRest() }).open();
  const told = { session: [], expired: [], warning: [] };
  for (const name of Object.keys(told)) connection.on(name, (fact) => told[name].push(fact));
  network.last.listener.opened();
  for (const frame of frames) network.last.listener.frame(frame);
  return { connection, network, told };
}

for (const [name, { frames, ends }] of Object.entries(recorded)) {
  test(`${name}: every frame is understood, and none is missing`, () => {
    const { connection, network, told } = replayed(frames);
    assert.deepEqual([connection.ignoredFrames, network.sent('RECONNECT')], [0, []]);
    const count = (type) => frames.filter((frame) => frame.type === type).length;
    assert.deepEqual([told.expired.length, told.warning.length], [count('TIME_EXPIRED'), count('TIME_WARNING')]);
    assert.equal(told.session.length, count('STATE_SYNC') + count('STATE_UPDATE'));
  });

  test(`${name}: it ends where the service ended`, () => {
    const { connection } = replayed(frames);
    if (ends === null) return assert.equal(connection.ended.code, 4503);
    // A read tells when it was made; everything else is the same.
    const { as_of: _read, ...wanted } = ends;
    const { as_of: _frame, ...session } = connection.session;
    return assert.deepEqual(session, wanted);
  });

  test(`${name}: every clock can be read in each of its states`, () => {
    for (const session of replayed(frames).told.session) {
      for (const id of clockIds(session)) assert.ok(Number.isFinite(read(session, id, Date.parse(session.updated_at)).shown_ms), id);
    }
  });

  test(`${name}: what the service told of an expiry is the edge that was known before`, () => {
    const { told } = replayed(frames);
    const [timers, given] = [new FakeTimers(), []];
    const began = Date.parse(told.session[0].updated_at);
    const cues = new Cues({ timers, sync: { hasSample: true, now: () => began + timers.now }, give: (edge) => given.push(edge) });
    for (const session of told.session.filter(({ status }) => status !== 'expired')) {
      timers.pass(Math.max(0, Date.parse(session.updated_at) - began - timers.now));
      cues.update(session);
    }
    timers.pass(60_000);
    told.expired.forEach((expired) => cues.told(expired));
    const isExpiry = ({ type }) => type === 'expiry';
    const ofExpired = given.filter(isExpiry).filter(({ at }) => told.expired.some((one) => one.expired_at === at));
    assert.equal(ofExpired.length, told.expired.length);
  });
}
