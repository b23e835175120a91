/** Tokens as the service takes them: signed here with the key that the server under test is given. */

import { createHmac } from 'node:crypto';

export const SECRET = 'only-for-the-tests-of-the-page-0123456789';

/**
 * @param {{role: string, participant_id?: string, sessions?: string[], lifeMs?: number}} claims
 * @returns {string}
 */
export function signed({ lifeMs = 3_600_000, ...claims }) {
  const exp = Math.floor((Date.now() + lifeMs) / 1000);
  const head = [{ alg: 'HS256', typ: 'JWT' }, { sub: 'organiser', tenant: 'club', exp, ...claims }];
  const text = head.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

/** @param {string} token */
export function claimsOf(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
}

/** The token that a link carries; null if it carries none. */
export function tokenIn(link) {
  return new URLSearchParams(new URL(link).hash.slice(1)).get('token');
}
