/** A client in a world without a network: its streams are fakes, and its plain requests are answered by the test. */

import { SyncKairosClient } from '../client.js';
import { EVENTS } from '../events.js';
import { FakeNetwork, FakeTimers, settle } from './fakes.js';

export const INSTANT = Date.parse('2026-01-01T00:00:00Z');
export const at = (ms) => new Date(INSTANT + ms).toISOString();

export function snapshot(version, more = {}) {
  return {
    session_id: 's', epoch: 9, version, sync_mode: 'per_participant', status: 'running', concurrency: 'exclusive',
    active_participant_id: 'a', cycle_started_at: at(0), deadline_at: at(60_000), time_control: {}, edges: [], groups: [],
    participants: [{ participant_id: 'a', total_time_ms: 60_000 }, { participant_id: 'b', total_time_ms: 60_000 }],
    action_on_timeout: { type: 'expire' }, updated_at: at(0), ...more,
  };
}

export const sync = (version, more) => ({ type: 'STATE_SYNC', session_id: 's', position: `9-${version}`, payload: snapshot(version, more) });
export const update = (version, more) => ({ ...sync(version, more), type: 'STATE_UPDATE' });

/** @param {{answers?: Record<string, (body: any, init: any) => any>, [option: string]: any}} [set] `answers` by `METHOD path`. */
export function world({ answers = {}, ...options } = {}) {
  const [network, timers, asked, told] = [new FakeNetwork(), new FakeTimers(), [], []];
  const fetch = async (url, init) => {
    const { pathname } = new URL(url);
    const body = init.body ? JSON.parse(init.body) : null;
    asked.push({ request: `${init.method} ${pathname}`, body, headers: init.headers });
    const answer = answers[`${init.method} ${pathname}`];
    if (!answer) throw Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNREFUSED' } });
    return respond(await answer(body, init));
  };
  const transports = { websocket: network.transport };
  const client = new SyncKairosClient('http://x', { transports, fetch, timers, random: () => 0.5, ...options });
  for (const name of EVENTS) client.on(name, (payload) => told.push([name, payload]));
  const names = () => told.map(([name]) => name);
  const open = (frame = sync(3)) => {
    network.last.listener.opened();
    network.last.listener.frame(frame);
  };
  /** Sets cluster time to `ms` after `INSTANT`, as an exchange without a round trip. */
  const setTime = (ms) => {
    const now = client.clock.monotonicMs();
    for (let times = 0; times < 4; times += 1) client.clock.take({ origin_ms: now, receive_ms: INSTANT + ms, transmit_ms: INSTANT + ms, destination_ms: now });
  };
  return { client, network, timers, asked, told, names, open, setTime, frame: (one) => network.last.listener.frame(one) };
}

function respond(answer) {
  if (answer instanceof Response) return answer;
  return new Response(answer === null ? null : JSON.stringify(answer), { status: answer === null ? 204 : 200 });
}

export function problem(status, body) {
  return new Response(JSON.stringify({ status, ...body }), { status, headers: { 'content-type': 'application/problem+json' } });
}

/** A token that ends at `endMs`, as far as this library looks. */
export function token(endMs, name = 'one') {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return [part({ alg: 'HS256' }), part({ exp: endMs / 1000, sub: name }), 'signature'].join('.');
}

export { settle };
