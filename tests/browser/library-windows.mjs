/** Windows with a client of the library in them: making one, following sessions, and what it was told. */

import assert from 'node:assert/strict';

/**
 * A window of the server's origin with a client, which notes what it is told.
 *
 * @param {import('./windows.mjs').Windows} windows
 * @param {string} base
 * @param {{options?: any, tokens?: string[]|null, [more: string]: any}} [set] `tokens`: what its callback gives, in turn.
 */
export async function clientIn(windows, base, { options = {}, tokens = null, ...more } = {}) {
  const page = await windows.window({ path: 'about:blank', ...more });
  await page.goto(`${base}/health`);
  await page.evaluate(makeClient, { base, options, tokens });
  return page;
}

async function makeClient({ base, options, tokens }) {
  const { SyncKairosClient } = await import('/sdk/index.js');
  const token = tokens ? async () => tokens.shift() ?? null : null;
  window.client = new SyncKairosClient(base, { ...options, token });
  window.told = [];
  for (const name of ['connected', 'disconnected', 'reconnecting', 'stale', 'fresh', 'error', 'connectionFailed', 'timeWarning', 'timeExpired']) {
    window.client.on(name, (payload) => window.told.push([name, payload]));
  }
}

/** Follows sessions, noting every position in the order in which it came. */
export async function follow(page, ...ids) {
  await page.evaluate((all) => {
    window.positions ??= {};
    for (const id of all) {
      window.positions[id] = [];
      window.client.connect(id, ({ epoch, version }) => window.positions[id].push([epoch, version]));
    }
  }, ids);
  await page.waitForFunction((all) => all.every((id) => window.client.state(id) === 'live' && window.client.session(id)), ids);
}

export const versionIs = (page, id, version, timeout) =>
  page.waitForFunction(([one, wanted]) => window.client.session(one)?.version === wanted, [id, version], { timeout, polling: 5 });

export const usesTransport = (page, id, name, timeout) =>
  page.waitForFunction(([one, wanted]) => window.client.transport(one) === wanted && window.client.state(one) === 'live', [id, name], { timeout });

/** The payloads of one event. */
export const told = (page, wanted) => page.evaluate((name) => window.told.filter(([one]) => one === name).map(([, payload]) => payload), wanted);

/** Every version came, in order and once; a new epoch begins where the one before stood. */
export async function nothingMissed(page, id) {
  const positions = await page.evaluate((one) => window.positions[one], id);
  positions.slice(1).forEach(([epoch, version], at) => {
    const [lastEpoch, lastVersion] = positions[at];
    if (epoch === lastEpoch) assert.equal(version, lastVersion + 1, JSON.stringify(positions));
    else assert.ok(epoch > lastEpoch && version - lastVersion <= 1 && version >= lastVersion, JSON.stringify(positions));
  });
}

/** By how much windows are apart: when the running clock of each ends, by the true time. */
export async function apartMs(pages, id) {
  const ends = await Promise.all(pages.map((page) => page.evaluate((one) => {
    const { participant_id: active } = window.client.session(one).participants.find((participant) => participant.is_active);
    return window.client.remaining(active, one) + window.trueNow();
  }, id)));
  return Math.max(...ends) - Math.min(...ends);
}

/** The version of a position. */
export const versionOf = (position) => Number(position.split('-')[1]);
