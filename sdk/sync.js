/**
 * Cluster time in a browser. Four stamps give an offset that is wrong by at
 * most half the round trip; the best exchange of a sliding window is believed.
 *
 * All of it rests on the monotonic clock, so a device whose own clock is wrong,
 * or is set while we watch, shows the same as every other.
 *
 * @typedef {object} Stamps The four stamps of an exchange, in order.
 * @property {number} origin_ms Ours, on sending.
 * @property {number} receive_ms Theirs.
 * @property {number} transmit_ms Theirs.
 * @property {number} destination_ms Ours, on receiving.
 *
 * @typedef {{offset: number, roundTrip: number, atMs: number}} Sample
 */

const WINDOW = 8;

// After this many samples the first, roughest answer has been replaced; from then on no jump is seen.
const SETTLED_AFTER = 4;

// A correction of 50 ms takes a second, and nobody sees a clock run 5 % slow for so short a while.
const SLEW_PER_MS = 0.05;

// Further off than this there is no use in creeping: the device slept, or its clock was replaced.
const STEP_MS = 1000;

// What two quartz clocks drift apart; ages a sample, so that an old one does not win for ever.
const DRIFT_PER_MS = 50e-6;

export class ClockSync {
  /** @type {Sample[]} */
  #window = [];
  #taken = 0;
  #offset = 0;
  #slewedAtMs = 0;

  /** @param {{monotonicMs?: () => number}} [parts] */
  constructor({ monotonicMs = pageMonotonicMs } = {}) {
    this.monotonicMs = monotonicMs;
  }

  /** Cluster time in ms; the device's own guess until the first exchange. */
  now() {
    this.#slew();
    return this.monotonicMs() + this.#offset;
  }

  /** Their clock minus our monotonic one, as applied just now. */
  get offset() {
    this.#slew();
    return this.#offset;
  }

  /** Of the exchange that is believed; null before there was one. */
  get roundTrip() {
    return this.#best()?.roundTrip ?? null;
  }

  get hasSample() {
    return this.#window.length > 0;
  }

  /** Whether now only slews from here on. */
  get isSettled() {
    return this.#taken >= SETTLED_AFTER;
  }

  /**
   * Takes the outcome of one exchange.
   *
   * @param {Stamps} stamps
   */
  take(stamps) {
    this.#slew();
    const sample = sampleOf(stamps);
    if (sample.roundTrip < 0) return;
    if (this.#contradicts(sample)) this.#forget();
    this.#window = [...this.#window, sample].slice(-WINDOW);
    this.#taken += 1;
    if (!this.isSettled || Math.abs(this.#error()) > STEP_MS) this.#offset = this.#best().offset;
  }

  // The truth lies within half the round trip of every sample; one that leaves no common ground
  // with the window's best says that a clock was moved, and that the window tells of the past.
  #contradicts(sample) {
    const best = this.#best();
    if (!best) return false;
    const room = uncertainty(best, sample.atMs) + uncertainty(sample, sample.atMs);
    return Math.abs(sample.offset - best.offset) > room + 1;
  }

  #forget() {
    this.#window = [];
  }

  #best() {
    const at = this.monotonicMs();
    const better = (a, b) => (uncertainty(b, at) < uncertainty(a, at) ? b : a);
    return this.#window.length ? this.#window.reduce(better) : null;
  }

  #error() {
    return (this.#best()?.offset ?? this.#offset) - this.#offset;
  }

  #slew() {
    const at = this.monotonicMs();
    const most = Math.max(0, at - this.#slewedAtMs) * SLEW_PER_MS;
    this.#offset += Math.max(-most, Math.min(most, this.#error()));
    this.#slewedAtMs = at;
  }
}

/** Milliseconds that only go forward, near Unix time so that `now` means something before the first exchange. */
export function pageMonotonicMs() {
  return performance.timeOrigin + performance.now();
}

/**
 * @param {Stamps} stamps
 * @returns {Sample}
 */
export function sampleOf({ origin_ms, receive_ms, transmit_ms, destination_ms }) {
  return {
    offset: (receive_ms - origin_ms + (transmit_ms - destination_ms)) / 2,
    roundTrip: destination_ms - origin_ms - (transmit_ms - receive_ms),
    atMs: destination_ms,
  };
}

function uncertainty(sample, atMs) {
  return sample.roundTrip / 2 + Math.max(0, atMs - sample.atMs) * DRIFT_PER_MS;
}
