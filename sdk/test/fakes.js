/** A world without waiting and without a network: timers the test turns, streams the test speaks on. */

export class FakeTimers {
  nowMs = () => this.now;
  now = 0;
  #due = [];

  set(run, ms) {
    const timer = { run, at: this.now + ms };
    this.#due.push(timer);
    return timer;
  }

  clear(timer) {
    this.#due = this.#due.filter((one) => one !== timer);
  }

  /** How many timers wait to run. */
  get waiting() {
    return this.#due.length;
  }

  /** Goes on by `ms`, running what falls due on the way, each at its own instant. */
  pass(ms) {
    const end = this.now + ms;
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.clear(next);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
  }

  #next(end) {
    return this.#due.filter((one) => one.at <= end).sort((a, b) => a.at - b.at)[0];
  }
}

export class FakeNetwork {
  /** @type {{address: any, listener: any, sent: any[], isClosed: boolean}[]} */
  streams = [];

  /** @param {{listens?: boolean}} [set] `listens`: streams of it take nothing. */
  constructor({ listens = false } = {}) {
    this.listens = listens;
  }

  transport = (address, listener) => {
    const stream = { address, listener, sent: [], renewed: [], isClosed: false };
    this.streams.push(stream);
    const send = this.listens ? null : (frame) => stream.sent.push(frame);
    return { send, close: (isSuspect = false) => Object.assign(stream, { isClosed: true, isSuspect }), renew: (token) => stream.renewed.push(token) };
  };

  get last() {
    return this.streams.at(-1);
  }

  sent(type) {
    return this.last.sent.filter((frame) => frame.type === type);
  }
}

export function fakeRest(answers = {}) {
  const asked = [];
  const answer = (name) => async (...args) => {
    asked.push([name, ...args]);
    if (!answers[name]) throw Object.assign(new Error('away'), { code: 'unreachable', body: {} });
    return answers[name](...args);
  };
  return { asked, read: answer('read'), time: answer('time'), command: answer('command') };
}

/** Lets promises that are ready go on. */
export function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}
