/** Windows on the page: opening them, waiting by condition, and reading both at one instant. */

import { chromium } from 'playwright-core';

const CHROMIUM = process.env.SYNCKAIROS_TEST_CHROMIUM ?? '/usr/bin/chromium';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

// A condition not met by then is a failure, never a reason to go on.
export const PATIENCE_MS = 15_000;

export class Windows {
  #complaints = [];

  /** @param {string} [base] Where paths begin; without it each window is given a whole address. */
  static async open(base) {
    const windows = new Windows();
    windows.base = base;
    windows.browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    return windows;
  }

  /**
   * A window of its own: nothing shared with the others but the server.
   *
   * @param {{path?: string, clockAheadMs?: number, [more: string]: any}} [set]
   */
  async window({ path = '/', clockAheadMs = 0, ...more } = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1200, height: 800 }, ...more });
    await context.addInitScript(setDeviceClock, clockAheadMs);
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('console', (said) => said.type() === 'error' && this.#complaints.push(said.text()));
    page.on('pageerror', (error) => this.#complaints.push(String(error)));
    await page.goto(new URL(path, this.base).href);
    return page;
  }

  /** What the windows complained of since last asked: errors of scripts, refusals by the page's own policy. */
  complaints() {
    return this.#complaints.splice(0);
  }

  async close() {
    await this.browser.close();
  }
}

// A device whose clock is wrong must not matter. The true one stays at hand for the tests to compare by.
function setDeviceClock(aheadMs) {
  const trueNow = Date.now.bind(Date);
  const origin = performance.timeOrigin;
  window.trueNow = trueNow;
  Date.now = () => trueNow() + aheadMs;
  Object.defineProperty(performance, 'timeOrigin', { get: () => origin + aheadMs });
}

/** Takes a preset in the form. */
export async function choose(page, preset) {
  await page.check(`[name=preset][value=${preset}]`, { force: true });
}

/** Presses what asks first, and answers that it is meant. */
export async function pressTwice(page, selector) {
  await page.click(selector);
  await page.click(`${selector}[data-first]`);
}

/** Until a window follows its session and its offset is settled. */
export async function untilSettled(...pages) {
  const isSettled = () => window.synckairos?.state === 'live' && window.synckairos.sync.isSettled && window.synckairos.session;
  await Promise.all(pages.map((page) => page.waitForFunction(isSettled)));
}

/** @returns {Promise<number>} */
export function versionOf(page) {
  return page.evaluate(() => window.synckairos.session.version);
}

/** Until all windows hold a version past `version`, and the same one. */
export async function untilPast(version, pages) {
  const isPast = (before) => window.synckairos.session?.version > before;
  await Promise.all(pages.map((page) => page.waitForFunction(isPast, version)));
  const newest = Math.max(...(await Promise.all(pages.map(versionOf))));
  await Promise.all(pages.map((page) => page.waitForFunction(isPast, newest - 1)));
  // What is held is on the screen with the next frame.
  await Promise.all(pages.map((page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))));
  return newest;
}

/** All windows read as near to one instant as can be, each with the true time at which it was. */
export function samples(pages) {
  const read = () => {
    const sample = window.synckairos.sample();
    return { ...sample, trueMs: window.trueNow() };
  };
  return Promise.all(pages.map((page) => page.evaluate(read)));
}

/** What clock `id` of `sample` showed, or would have, at the true instant `atMs`. */
export function shownAt(sample, id, atMs) {
  const clock = sample.clocks[id];
  return clock.shownMs + clock.pace * (atMs - sample.trueMs);
}

/** @param {string} text `4:32.7` or `1:02:03` */
export function msOfText(text) {
  const seconds = text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  return Math.round(seconds * 1000);
}

/** When each text came on the screen of clock `id`: `count` of them, by the true time. */
export function changes(page, id, count) {
  return page.evaluate(recordChanges, { id, count });
}

function recordChanges({ id, count }) {
  const digits = document.querySelector(`[data-clock="${id}"] .digits`);
  const seen = {};
  return new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      seen[digits.textContent] ??= window.trueNow();
      if (Object.keys(seen).length < count) return;
      observer.disconnect();
      resolve(seen);
    });
    observer.observe(digits, { subtree: true, childList: true, characterData: true });
  });
}

/** Everything to be pressed that is seen and smaller than `least` either way. */
export function smallTargets(page, least) {
  return page.evaluate((size) => {
    const all = [...document.querySelectorAll('button, a, input')].filter((one) => one.checkVisibility?.({ visibilityProperty: true }));
    const box = (one) => (one.type === 'radio' ? one.parentElement : one).getBoundingClientRect();
    const isSmall = ({ width, height }) => width > 1 && (width < size - 0.5 || height < size - 0.5);
    return all.filter((one) => isSmall(box(one))).map((one) => `${one.outerHTML.slice(0, 80)} ${box(one).width}x${box(one).height}`);
  }, least);
}

/** The digits and small facts that reach over the edge of their own clock. */
export function cutOff(page) {
  return page.evaluate(() => {
    const isInside = (inner, outer) => inner.left >= outer.left - 0.5 && inner.right <= outer.right + 0.5;
    const parts = [...document.querySelectorAll('.face :is(.digits, .badge, .face-note)')].filter((one) => one.textContent && one.checkVisibility());
    const outer = (one) => one.closest('.face-button').getBoundingClientRect();
    const told = (one) => `${one.className} ${one.textContent}: ${Math.round(one.getBoundingClientRect().width)} in ${Math.round(outer(one).width)} px`;
    return parts.filter((one) => !isInside(one.getBoundingClientRect(), outer(one))).map(told);
  });
}

/** By how much the page is wider than its window. */
export function overhang(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
