/**
 * React hooks: a session as state, drawn again when what a component shows has changed. React 18 and 19, without JSX.
 *
 * @import {ReactNode} from 'react'
 * @import {View} from './followed-session.js'
 * @import {SessionCommands} from './session-commands.js'
 * @import {Snapshot, Status} from './types.js'
 *
 * @typedef {object} SessionOptions
 * @property {number} [stepMs] What the last digit that you show counts: 100 (the default) for tenths of a second.
 *
 * @typedef {object} SessionState
 * @property {Snapshot|null} sessionState The newest snapshot; null until the first one arrives.
 * @property {(id?: string) => number|null} getParticipantTime What a clock shows now, in ms: of a participant or a group;
 *   without an id of the hook's participant, else of whoever is active. A component that calls it is drawn again when
 *   the answer changes.
 * @property {() => Record<string, number>} getAllParticipantTimes The same of all participants, by id. A session
 *   without participants has one clock, `session`.
 * @property {string|null} activeParticipantId Whose turn it is.
 * @property {Status|null} status It also changes at the instant of a scheduled start.
 * @property {boolean} isConnected The stream is open, and not silent.
 * @property {Error|null} error Why the last command was refused, or why the session cannot be followed. The next
 *   command that is accepted clears it.
 *
 * @typedef {SessionState & SessionCommands} SessionView
 *
 * @typedef {object} ServerTime
 * @property {() => number} now Cluster time, Unix ms; before the first exchange the device's own time.
 * @property {number|null} offset Cluster time minus the device's time, ms; null before the first exchange.
 * @property {number|null} roundTrip Of the best exchange, ms.
 * @property {number|null} uncertainty How far `now` may be off, ms.
 */

import { createContext, createElement, useContext, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { SyncKairosClient } from './client.js';
import { SESSION } from './clock.js';
import { DrawnTime, measure } from './drawn-time.js';
import { FollowedSession, NOTHING } from './followed-session.js';
import { commandsOf } from './session-commands.js';
import { ShownTimes } from './shown-times.js';

const TENTH_MS = 100;

/** @type {Omit<ServerTime, 'now'>} */
const UNMEASURED = { offset: null, roundTrip: null, uncertainty: null };

const ClientContext = createContext(/** @type {SyncKairosClient|null} */ (null));

/** @type {SyncKairosClient|null} */
let pageClient = null;

/**
 * Hands a client to all hooks below it.
 *
 * @param {{client: SyncKairosClient, children?: ReactNode}} props
 */
export function SyncKairosProvider({ client, children }) {
  return createElement(ClientContext.Provider, { value: client }, children);
}

/**
 * The provider's client. Without a provider it is one for the page's own origin, and on a server null.
 *
 * @returns {SyncKairosClient|null}
 */
export function useClient() {
  return useContext(ClientContext) ?? clientOfPage();
}

/**
 * Follows a session while the component is mounted, with the client of `useClient`.
 *
 * @param {string|null} sessionId null: none yet.
 * @param {string} [participantId] For whom commands are given, and whose time is asked for.
 * @param {SessionOptions} [options]
 * @returns {SessionView}
 */
export function useSession(sessionId, participantId, options) {
  return useSyncKairos(sessionId, useClient(), participantId, options);
}

/**
 * Follows a session while the component is mounted.
 *
 * @param {string|null} sessionId null: none yet.
 * @param {SyncKairosClient|null} client null: on a server. Make it outside of components: another one begins anew.
 * @param {string} [participantId] For whom commands are given, and whose time is asked for.
 * @param {SessionOptions} [options]
 * @returns {SessionView}
 */
export function useSyncKairos(sessionId, client, participantId, { stepMs = TENTH_MS } = {}) {
  const followed = useMemo(() => new FollowedSession(client, sessionId), [client, sessionId]);
  const commands = useMemo(() => commandsOf(followed, participantId), [followed, participantId]);
  const view = useSyncExternalStore(followed.subscribe, () => followed.view, () => NOTHING);
  const times = new ShownTimes(stepMs);
  useEffect(() => followed.shown(times));
  return { ...stateOf(view, client, times, participantId), ...commands };
}

/**
 * Cluster time, Unix ms. The component is drawn again in every frame, or each time another `stepMs` has passed.
 *
 * @param {SyncKairosClient|null} [client] By default that of `useClient`.
 * @param {number} [stepMs]
 * @returns {number|null} null on a server, and when the page first takes over what a server rendered.
 */
export function useNow(client, stepMs = 0) {
  const own = useClient();
  const time = useMemo(() => new DrawnTime(client ?? own, stepMs), [client, own, stepMs]);
  return useSyncExternalStore(time.subscribe, () => time.ms, () => null);
}

/**
 * Cluster time to read at any moment. The component is drawn again when the measurement changes.
 *
 * @param {SyncKairosClient|null} [client] By default that of `useClient`.
 * @returns {ServerTime}
 */
export function useServerTime(client) {
  const own = useClient();
  const used = client ?? own;
  const [measured, setMeasured] = useState(UNMEASURED);
  useEffect(() => {
    if (used?.clock.hasSample) setMeasured(measuredBy(used));
    measure(used);
    return used?.on('timeSynced', setMeasured);
  }, [used]);
  return { ...measured, now: () => used?.getServerTime() ?? Date.now() };
}

/** @param {SyncKairosClient} client */
function measuredBy({ clock }) {
  return { offset: clock.now() - Date.now(), roundTrip: clock.roundTrip, uncertainty: clock.uncertainty };
}

/**
 * @param {View} view
 * @param {SyncKairosClient|null} client
 * @param {ShownTimes} times
 * @param {string} [participantId]
 * @returns {SessionState}
 */
function stateOf({ session, isConnected, error }, client, times, participantId) {
  const now = () => client?.getServerTime() ?? Date.now();
  return {
    sessionState: session,
    getParticipantTime: (id = participantId ?? SESSION) => session && times.read(session, id, now()),
    getAllParticipantTimes: () => (session ? timesOf(session, times, now()) : {}),
    activeParticipantId: session?.active_participant_id ?? null,
    status: session && times.readStatus(session, now()),
    isConnected,
    error,
  };
}

/**
 * @param {Snapshot} session
 * @param {ShownTimes} times
 * @param {number} nowMs
 * @returns {Record<string, number>}
 */
function timesOf(session, times, nowMs) {
  const ids = session.participants.map((one) => one.participant_id);
  const all = ids.length > 0 ? ids : [SESSION];
  return Object.fromEntries(all.map((id) => [id, times.read(session, id, nowMs)]));
}

function clientOfPage() {
  if (typeof document === 'undefined') return null;
  pageClient ??= new SyncKairosClient(location.origin);
  return pageClient;
}
