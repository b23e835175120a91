/**
 * The link that shares a clock. It never has the page's own token: an operator creates a token for this session, to
 * watch it or to act as one participant. A caller that may not create one shares nothing.
 */

import { inTurnOrder } from '/sdk/clock.js';
import { isOperator } from './access.js';
import { byId, element, say } from './dom.js';
import { showProblem } from './toast.js';
import { GROUPS } from './presets.js';
import { linkTo } from './token.js';
import { minuteText } from './instants.js';

const FEEDBACK_MS = 2000;

// The maximum of the server; a link expires earlier if its creator's token does.
const LINK_TTL_MS = 24 * 3_600_000;

const WATCH = '';

export class Share {
  #session = null;
  #options = '';
  #isBusy = false;
  /** The link on the screen; null while there is none. @type {{text: string, choice: string, expiresAtMs: number|null}|null} */
  #link = null;

  /**
   * @param {object} parts
   * @param {import('/sdk/rest.js').Rest} parts.rest
   * @param {string} parts.sessionId
   * @param {string|null} parts.token
   * @param {import('./access.js').Principal} parts.principal
   * @param {() => number} parts.now Cluster time in ms.
   */
  constructor({ rest, sessionId, token, principal, now }) {
    Object.assign(this, { rest, sessionId, now });
    this.isOpenMode = token === null;
    this.isAllowed = isOperator(principal);
    byId('link').addEventListener('focus', () => byId('link').select());
    byId('copy').addEventListener('click', () => this.#copy());
    byId('send').addEventListener('click', () => this.#send());
    byId('send').hidden = !navigator.share;
    byId('share-make').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#createLink();
    });
    byId('share-as').addEventListener('change', () => this.#clear());
  }

  /** @param {import('/sdk/types.js').Snapshot} session */
  describe(session) {
    byId('share').hidden = !this.isAllowed;
    if (!this.isAllowed) return;
    this.#session = session;
    byId('share-make').hidden = this.isOpenMode;
    if (this.isOpenMode) this.#show({ text: linkTo(this.sessionId, null), choice: WATCH, expiresAtMs: null });
    else this.#describeChoices();
  }

  // A link is for a watcher, or for one participant.
  #describeChoices() {
    const people = inTurnOrder(this.#session);
    const choices = [[WATCH, 'Watch only'], ...people.map((one) => [one.participant_id, `${verbFor(this.#session)} as ${nameIn(this.#session, one)}`])];
    const options = JSON.stringify(choices);
    if (options === this.#options) return;
    this.#options = options;
    const chosen = byId('share-as').value;
    byId('share-as').replaceChildren(...choices.map(([value, text]) => element('option', { value }, text)));
    byId('share-as').value = choices.some(([value]) => value === chosen) ? chosen : WATCH;
    if (this.#link && this.#link.choice !== byId('share-as').value) this.#clear();
  }

  async #createLink() {
    if (this.#isBusy) return;
    this.#isBusy = byId('make-link').disabled = true;
    const choice = byId('share-as').value;
    try {
      const request = { ttl_ms: LINK_TTL_MS, ...(choice !== WATCH && { participant_id: choice }) };
      const { token, expires_at: expiresAt } = await this.rest.createToken(this.sessionId, request);
      // Unless the choice changed meanwhile.
      if (choice === byId('share-as').value) this.#show({ text: linkTo(this.sessionId, token), choice, expiresAtMs: Date.parse(expiresAt) });
    } catch (problem) {
      showProblem(problem);
    } finally {
      this.#isBusy = byId('make-link').disabled = false;
    }
  }

  #show(link) {
    const isNew = this.#link?.text !== link.text;
    this.#link = link;
    if (!isNew) return;
    byId('link').value = link.text;
    byId('share-link').hidden = false;
    say(byId('share-title'), this.isOpenMode ? 'Only on this computer' : 'Share this clock');
    say(byId('share-says'), this.#words(link));
  }

  #words({ choice, expiresAtMs }) {
    if (this.isOpenMode) return 'Other devices cannot open this link. Here, anyone with it can control this clock.';
    const until = minuteText(expiresAtMs, this.now());
    const name = byId('share-as').selectedOptions[0].textContent.replace(/^\w/, (first) => first.toLowerCase());
    return choice === WATCH ? `Anyone with this link can watch this clock until ${until}.` : `Anyone with this link can ${name} until ${until}.`;
  }

  #clear() {
    this.#link = null;
    byId('link').value = '';
    byId('share-link').hidden = true;
    say(byId('share-says'), '');
  }

  #send() {
    navigator.share({ url: byId('link').value }).catch(() => {});
  }

  async #copy() {
    const isCopied = (await copyByClipboard()) || copyBySelection();
    say(byId('copy'), isCopied ? 'Copied' : 'Press Ctrl+C');
    say(byId('announce'), isCopied ? 'Link copied' : 'The link is selected; copy it by hand');
    setTimeout(() => say(byId('copy'), 'Copy link'), FEEDBACK_MS);
  }
}

function verbFor(session) {
  const isGame = GROUPS[0].presets.some(({ key }) => key === session.metadata?.preset);
  return isGame ? 'Play' : 'Take part';
}

function nameIn(session, { participant_id: id, group_id: group, metadata }) {
  const name = metadata?.name ?? id;
  const groupName = session.metadata?.group_names?.[group] ?? group;
  return groupName ? `${name} (${groupName})` : name;
}

async function copyByClipboard() {
  try {
    await navigator.clipboard.writeText(byId('link').value);
    return true;
  } catch {
    return false;
  }
}

// Plain-HTTP pages of a local network have no other clipboard.
function copyBySelection() {
  byId('link').focus();
  byId('link').select();
  return document.execCommand('copy');
}
