/**
 * Cluster time in a browser. Four stamps give an offset that is wrong by at
 * most half the round trip; the best exchange of a sliding window counts.
 *
 * It counts on the monotonic clock, so a device whose own clock is wrong or is set
 * meanwhile shows the same time as every other.
 *
 * @typedef {object} Stamps The four stamps of an exchange, in order.
 * @property {number} origin_ms Ours, on sending.
 * @property {number} receive_ms Theirs.
 * @property {number} transmit_ms Theirs.
 * @property {number} destination_ms Ours, on receiving.
 * @property {number} [uncertainty_ms] How far their clock itself may be off.
 *
 * @typedef {{offset: number, roundTrip: number, atMs: number, ownMs: number}} Sample
 */

const WINDOW_SIZE = 8;

// After this many samples the rough first offset has been replaced; from then on now never jumps.
const MIN_SETTLED_SAMPLES = 4;

// A correction of 50 ms takes a second; a clock that runs 5 % slow for so short a while looks normal.
const MAX_SLEW_PER_MS = 0.05;

// A larger error is stepped: the device slept, or its clock was replaced.
const MIN_STEP_MS = 1000;

// The drift between two quartz clocks; it ages samples, so that an old one does not win for ever.
const MAX_DRIFT_PER_MS = 50e-6;

export class ClockSync {
  /** @type {Sample[]} */
  #window = [];
  #taken = 0;
  #offset = 0;
  #slewedAtMs = 0;
  #isKnown = false;
  /** The newest reading, so that none is earlier. */
  #newest = -Infinity;

  /** @param {{monotonicMs?: () => number, taken?: () => void}} [parts] `taken` is called after each exchange. */
  constructor({ monotonicMs = pageMonotonicMs, taken = () => {} } = {}) {
    this.monotonicMs = monotonicMs;
    this.taken = taken;
  }

  /** Cluster time in ms, never backwards but for a step; the device's own time until the first exchange. */
  now() {
    this.#slew();
    this.#newest = Math.max(this.#newest, this.monotonicMs() + this.#offset);
    return this.#newest;
  }

  /** Their clock minus our monotonic one, as applied just now. */
  get offset() {
    this.#slew();
    return this.#offset;
  }

  /** The round trip of the best exchange; null before the first one. */
  get roundTrip() {
    return this.#best()?.roundTrip ?? null;
  }

  /** How far `now` may be off; null before the first exchange. */
  get uncertainty() {
    const best = this.#best();
    return best && uncertainty(best, this.monotonicMs()) + best.ownMs + Math.abs(this.#error());
  }

  get hasSample() {
    return this.#window.length > 0;
  }

  /** Whether now only slews from now on. */
  get isSettled() {
    return this.#taken >= MIN_SETTLED_SAMPLES;
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
    this.#window = [...this.#window, sample].slice(-WINDOW_SIZE);
    this.#taken += 1;
    if (!this.isSettled || Math.abs(this.#error()) > MIN_STEP_MS) this.#step();
    this.taken();
  }

  /** The device slept: the next exchanges correct at once instead of slewing. */
  unsettle() {
    this.#taken = 0;
  }

  #step() {
    // A large step, and the first one, may go back; within a second a reading waits instead.
    if (!this.#isKnown || Math.abs(this.#error()) > MIN_STEP_MS) this.#newest = -Infinity;
    this.#isKnown = true;
    this.#offset += this.#error();
  }

  // The true offset lies within half the round trip of every sample. If two samples have no offset
  // in common, a clock was moved, and the window is out of date.
  /** @param {Sample} sample */
  #contradicts(sample) {
    const best = this.#best();
    if (!best) return false;
    const tolerance = uncertainty(best, sample.atMs) + uncertainty(sample, sample.atMs);
    return Math.abs(sample.offset - best.offset) > tolerance + 1;
  }

  #forget() {
    this.#window = [];
  }

  #best() {
    const at = this.monotonicMs();
    const better = (/** @type {Sample} */ a, /** @type {Sample} */ b) => (uncertainty(b, at) < uncertainty(a, at) ? b : a);
    return this.#window.length ? this.#window.reduce(better) : null;
  }

  #error() {
    return (this.#best()?.offset ?? this.#offset) - this.#offset;
  }

  #slew() {
    const at = this.monotonicMs();
    const max = Math.max(0, at - this.#slewedAtMs) * MAX_SLEW_PER_MS;
    this.#offset += Math.max(-max, Math.min(max, this.#error()));
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
export function sampleOf({ origin_ms, receive_ms, transmit_ms, destination_ms, uncertainty_ms: ownMs = 0 }) {
  return {
    offset: (receive_ms - origin_ms + (transmit_ms - destination_ms)) / 2,
    roundTrip: destination_ms - origin_ms - (transmit_ms - receive_ms),
    atMs: destination_ms,
    ownMs,
  };
}

/**
 * @param {Sample} sample
 * @param {number} atMs
 */
function uncertainty(sample, atMs) {
  return sample.roundTrip / 2 + Math.max(0, atMs - sample.atMs) * MAX_DRIFT_PER_MS;
}
