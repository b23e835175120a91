/** One session on the screen: follows it, paints it, and sends the commands of its users. */

import { Connection } from '/sdk/connection.js';
import { SESSION, activeId, read, shownMs, startsInMs, statusAt } from '/sdk/clock.js';
import { spokenText } from '/sdk/format.js';
import { transportsHere } from '/sdk/transports.js';
import { isOperator } from './access.js';
import { keepAwake } from './wake-lock.js';
import { Cues } from './cues.js';
import { byId, say } from './dom.js';
import { ClockGrid } from './clock-grid.js';
import { describeJoinForm, openJoinForm } from './join-form.js';
import { openKeyboard } from './keyboard.js';
import { Laps } from './laps.js';
import { chosenTransport } from './transport-picker.js';
import { StatusBar } from './status-bar.js';
import { nameOf, titleOf } from './clock-names.js';
import { openToast } from './toast.js';
import { Outage } from './outage.js';
import { FrameLoop } from './frame-loop.js';
import { pausedText } from './pause-reasons.js';
import { installTestHooks } from './test-hooks.js';
import { Share } from './share.js';
import { Toolbar } from './toolbar.js';
import { secondText } from './instants.js';
import { CommandSender } from './commands.js';
import { endMessage } from './messages.js';

/** @param {{base: string, token: string|null, principal: import('./access.js').Principal, sessionId: string}} options */
export function openSessionView(options) {
  const transports = transportsHere();
  new SessionView(new Connection({ ...options, transports, transport: chosenTransport(transports) }), options).open();
}

class SessionView {
  #statusSeen = null;
  #activeSeen = null;

  constructor(connection, { sessionId, token, principal }) {
    this.connection = connection;
    this.access = { token, principal };
    this.sender = new CommandSender(connection, principal);
    this.grid = new ClockGrid({
      press: (id) => this.sender.press(id),
      request: (offer) => this.sender.requestForClock(offer),
      handOnTo: (id) => this.sender.handOnTo(id),
    }, principal);
    this.toolbar = new Toolbar((command) => this.sender.request(command), principal);
    this.share = new Share({ rest: connection.rest, sessionId, token, principal, now: () => connection.now() });
    this.outage = new Outage({ read: (time) => connection.rest.at(sessionId, time), onFound: () => this.#describe() });
    this.statusBar = new StatusBar(connection);
    this.laps = new Laps(connection.rest);
    this.cues = new Cues((edge) => this.#cue(edge));
    this.frameLoop = new FrameLoop({ paint: () => this.#paint(), isMoving: () => this.#isMoving() });
  }

  open() {
    byId('session').hidden = false;
    openToast();
    openJoinForm((name) => this.sender.add(name));
    openKeyboard(this.sender, () => this.#announceTime());
    installTestHooks(this.connection, this.grid);
    this.#listen();
    this.connection.open();
  }

  #listen() {
    const { connection } = this;
    connection.on('session', () => this.#describe());
    connection.on('state', () => this.#onState());
    connection.on('warning', (warning) => this.cues.once({ ...warning, type: 'warning' }));
    connection.on('frame', (frame) => this.#onFrame(frame));
    document.addEventListener('visibilitychange', () => this.#onSeen());
  }

  #onFrame(frame) {
    this.laps.receive(frame);
    if (frame.type === 'STATE_SYNC') this.laps.load(frame.payload);
    if (frame.type === 'PONG') this.statusBar.paint();
  }

  #onState() {
    const { state, ended } = this.connection;
    this.statusBar.paint();
    if (state === 'closed') showEnd(endMessage(ended, { ...this.access, isOperator: isOperator(this.access.principal) }, this.connection.now()), this.#mayCreate(ended));
  }

  #onSeen() {
    if (document.hidden) return;
    this.frameLoop.wake();
    if (this.connection.session) keepAwake(this.#status() === 'running');
  }

  #describe() {
    const { session } = this.connection;
    const nowMs = this.connection.now();
    say(byId('session-title'), titleOf(session));
    document.body.dataset.status = this.#statusSeen = this.#status();
    this.grid.describe(session, nowMs);
    if (this.toolbar.describe(session, nowMs)) this.#refocus(nowMs);
    describeJoinForm(session, this.access.principal);
    this.share.describe(session);
    this.outage.update(session);
    this.#describePause();
    this.#describeRole();
    this.#announceTurn();
    keepAwake(this.#statusSeen === 'running');
    this.frameLoop.wake();
  }

  #describePause() {
    const { session } = this.connection;
    const { startedMs } = this.outage;
    const since = startedMs === null ? null : secondText(startedMs, this.connection.now());
    const text = session.status === 'paused' ? pausedText(session.pause_reasons ?? [], since) : '';
    byId('paused-why').hidden = !text;
    say(byId('paused-why'), text);
  }

  #describeRole() {
    const { principal } = this.access;
    const isSeated = this.connection.session.participants.some((one) => one.participant_id === principal.participantId);
    byId('role').hidden = isOperator(principal);
    say(byId('role'), isSeated ? `You are ${nameOf(this.connection.session, principal.participantId)}` : 'View only');
  }

  // An expired token, or one for this clock alone, cannot create another clock.
  #mayCreate({ code }) {
    return code !== 4500 && isOperator(this.access.principal);
  }

  // A start by keyboard leaves the focus on a hidden button: move it to the running clock, where Space hands on.
  #refocus(nowMs) {
    this.toolbar.focus();
    this.grid.focus(this.connection.session, nowMs);
  }

  #paint() {
    const { session } = this.connection;
    if (!session) return;
    // A scheduled start happens without a frame, and changes the available commands.
    if (this.#status() !== this.#statusSeen) this.#describe();
    const nowMs = this.connection.now();
    this.grid.paint(session, nowMs);
    this.cues.check(session, nowMs);
    if (session.sync_mode === 'count_up') this.laps.paint(shownMs(session, SESSION, nowMs));
    paintStarting(startsInMs(session, nowMs));
    this.#paintTitle();
  }

  #paintTitle() {
    const card = this.grid.foremost(this.connection.session);
    const title = `${card?.main.textContent ?? ''} ${card?.facts.name ?? ''} · SyncKairos`;
    if (document.title !== title) document.title = title;
  }

  #status() {
    return statusAt(this.connection.session, this.connection.now());
  }

  #isMoving() {
    const { session } = this.connection;
    return this.#status() === 'running' || startsInMs(session, this.connection.now()) !== null;
  }

  #cue(edge) {
    const { session } = this.connection;
    const id = edge.participant_id ?? edge.group_id ?? SESSION;
    this.grid.get(id)?.flash();
    if (edge.type === 'warning') say(byId('announce'), `${nameOf(session, id)}: ${spokenText(edge.remaining_ms)} left`);
  }

  #announceTurn() {
    const { session } = this.connection;
    const turn = `${activeId(session)} ${session.status}`;
    if (turn !== this.#activeSeen && this.#activeSeen) this.#announceTime();
    this.#activeSeen = turn;
  }

  #announceTime() {
    const { session } = this.connection;
    if (!session) return;
    const describe = ({ id, facts }) => `${facts.name}: ${spokenText(read(session, id, this.connection.now()).shown_ms)}`;
    say(byId('announce'), `${this.grid.all().map(describe).join(', ')}. ${this.#status()}`);
  }
}

function paintStarting(ms) {
  byId('starting').hidden = ms === null;
  if (ms !== null) say(byId('starts-in'), `${(Math.ceil(ms / 100) / 10).toFixed(1)} s`);
}

function showEnd({ title, text }, mayCreate) {
  byId('session').hidden = true;
  byId('meters').hidden = true;
  byId('banner').hidden = true;
  byId('dead-end').hidden = false;
  byId('dead-end-new').hidden = !mayCreate;
  say(byId('dead-end-title'), title);
  say(byId('dead-end-text'), text);
  document.title = `${title} · SyncKairos`;
}
