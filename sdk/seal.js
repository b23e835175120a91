/**
 * Sealed messages and signed commands, on WebCrypto. An entry of its own, which the client does not load.
 *
 * WebCrypto is there in Node and on pages of `https:` or `localhost`, and on no others.
 */

/** @typedef {string|CryptoKey} SealingKey A key in base64url, as the service tells it, or one of `importKey`. */

/**
 * @typedef {object} SignedCommand
 * @property {SealingKey} key the token's signing key
 * @property {string} method `POST`, `PATCH` or `DELETE`
 * @property {string} path the path with its query, as the service is asked for it
 * @property {string|Uint8Array<ArrayBuffer>} [body] the body exactly as it is sent; none counts as empty
 * @property {number} now cluster time in milliseconds, such as `client.now()`
 * @property {string} [nonce] 16 to 64 characters of A-Z a-z 0-9 _ -, never used before; a random one by default
 */

/**
 * @typedef {object} SignedFrame
 * @property {SealingKey} key the token's signing key
 * @property {string} session the session that is commanded
 * @property {object} frame the frame, without a signature
 * @property {number} now cluster time in milliseconds
 * @property {string} [nonce] as for a request
 */

const HMAC = { name: 'HMAC', hash: 'SHA-256' };

/** What stands after the bytes that a seal is over: `,"hmac":"`, 43 characters and `"}`. */
const TAIL = /^,"hmac":"([A-Za-z0-9_-]{43})"\}$/;
const TAIL_LENGTH = 54;

/** The member before it: `,"key_id":"`, 11 characters and `"`. */
const KEY_ID = /,"key_id":"([A-Za-z0-9_-]{11})"$/;

const utf8 = new TextEncoder();

/**
 * A key as the service tells it, ready for use. It saves work where a key is used often.
 *
 * @param {string} key in base64url: `key` of a seal key, or `signing_key`
 * @returns {Promise<CryptoKey>}
 */
export function importKey(key) {
  return crypto.subtle.importKey('raw', decoded(key), HMAC, false, ['sign', 'verify']);
}

/**
 * Which key a message was sealed with, by its `key_id`; `null` if it is not sealed. Who does not hold
 * that key asks for it again: a new epoch of a session has a new key.
 *
 * @param {string} text the message as it came
 * @returns {string|null}
 */
export function keyIdOf(text) {
  return TAIL.test(text.slice(-TAIL_LENGTH)) ? KEY_ID.exec(text.slice(0, -TAIL_LENGTH))?.[1] ?? null : null;
}

/**
 * Whether a message is as the service sealed it: a frame, the data of an event, or the body of an answer.
 *
 * @param {string} text the message as it came: parsed and written again it is another text
 * @param {SealingKey} key the key of the message's `key_id`
 * @returns {Promise<boolean>}
 */
export async function verifyFrame(text, key) {
  const hmac = TAIL.exec(text.slice(-TAIL_LENGTH))?.[1];
  if (hmac === undefined) return false;
  const signed = utf8.encode(text.slice(0, -TAIL_LENGTH));
  return crypto.subtle.verify('HMAC', await keyOf(key), decoded(hmac), signed);
}

/**
 * The value of the header `Signature` for one request. A repeat needs another.
 *
 * @param {SignedCommand} command
 * @returns {Promise<string>}
 */
export async function signCommand({ key, method, path, body = '', now, nonce = newNonce() }) {
  const at = Math.round(now);
  const bytes = typeof body === 'string' ? utf8.encode(body) : body;
  const digest = encoded(await crypto.subtle.digest('SHA-256', bytes));
  const signed = utf8.encode([at, nonce, method.toUpperCase(), path, digest].join('\n'));
  const v1 = encoded(await crypto.subtle.sign('HMAC', await keyOf(key), signed));
  return `t=${at},nonce=${nonce},v1=${v1}`;
}

/**
 * The text of a `COMMAND` for a WebSocket, with its signature as the last member.
 *
 * @param {SignedFrame} command
 * @returns {Promise<string>}
 */
export async function signFrame({ key, session, frame, now, nonce }) {
  const body = JSON.stringify(frame).slice(0, -1);
  const signature = await signCommand({ key, method: 'COMMAND', path: session, body, now, nonce });
  return `${body},"signature":"${signature}"}`;
}

/** @param {SealingKey} key */
function keyOf(key) {
  return typeof key === 'string' ? importKey(key) : key;
}

function newNonce() {
  return encoded(crypto.getRandomValues(new Uint8Array(18)).buffer);
}

/** @param {string} text */
function decoded(text) {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}

/** @param {ArrayBuffer} bytes */
function encoded(bytes) {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
