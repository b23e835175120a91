/** The link that brings others to the same clock. */

import { byId, say } from './dom.js';

const SAID_MS = 2000;

export function openShare() {
  byId('link').value = location.href;
  byId('link').addEventListener('focus', () => byId('link').select());
  byId('copy').addEventListener('click', copy);
  byId('send').hidden = !navigator.share;
  byId('send').addEventListener('click', () => navigator.share({ url: location.href }).catch(() => {}));
}

async function copy() {
  const isCopied = (await copyNew()) || copyOld();
  say(byId('copy'), isCopied ? 'Copied' : 'Press Ctrl+C');
  say(byId('announce'), isCopied ? 'Link copied' : 'The link is selected; copy it by hand');
  setTimeout(() => say(byId('copy'), 'Copy link'), SAID_MS);
}

async function copyNew() {
  try {
    await navigator.clipboard.writeText(location.href);
    return true;
  } catch {
    return false;
  }
}

// On plain-HTTP pages of a local network there is no clipboard but this one.
function copyOld() {
  byId('link').focus();
  byId('link').select();
  return document.execCommand('copy');
}
