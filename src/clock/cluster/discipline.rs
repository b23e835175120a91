//! From exchanges with the reference to a mapping: which exchange counts, which offset holds,
//! and which instance claims the offset of a new reference. Pure: callers pass all counts in.

use std::collections::VecDeque;
use std::time::Duration;

use super::reference::{Reading, StoredOffset};
use crate::clock::mapping::{MIN_US_PER_DRIFT, Mapping};

/// Exchanges in the window.
const MAX_SAMPLES: usize = 64;

/// Exchanges before a mapping rests on them: the best of several is good.
const MIN_SAMPLES: usize = 8;

/// When a clock is good enough, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// An instance that knows cluster time no better than that lets others claim first.
    pub max_uncertainty: Duration,
    /// How long it lets them. It must be long enough for every living instance to
    /// make a few exchanges.
    pub claim_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_uncertainty: Duration::from_millis(50), claim_delay: Duration::from_millis(1_500) }
    }
}

/// One exchange: when it began and ended, as this host counts microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// When the question was sent.
    pub sent: i64,
    /// When the answer arrived.
    pub received: i64,
    /// The answer.
    pub reading: Reading,
}

/// What an exchange calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Another exchange, before long.
    Wait,
    /// More exchanges at once: too little is known yet, or others may claim first.
    Retry,
    /// Claim this offset, in microseconds, for the reference, unless another instance did.
    Claim(i64),
}

/// What this instance knows of cluster time.
#[derive(Debug)]
pub struct Discipline {
    settings: Settings,
    reference: Option<ReferenceState>,
    mapping: Option<Mapping>,
}

/// One process of the reference.
#[derive(Debug)]
struct ReferenceState {
    run_id: String,
    /// When it was first met.
    since: i64,
    /// Cluster time less its time, once an instance claimed it.
    offset: Option<i64>,
    window: VecDeque<Sample>,
}

/// An exchange, reduced: the reference's time at the middle of it.
#[derive(Debug, Clone, Copy)]
struct Sample {
    middle: i64,
    half: i64,
    server: i64,
}

impl Sample {
    fn of(exchange: &Exchange) -> Self {
        let half = (exchange.received - exchange.sent + 1) / 2;
        // Each stamp was truncated to whole microseconds.
        Self { middle: exchange.sent + half, half: half + 2, server: exchange.reading.server_us }
    }

    /// A short round trip is worth less the older it is.
    fn uncertainty(self, now: i64) -> i64 {
        self.half + (now - self.middle) / MIN_US_PER_DRIFT
    }
}

impl ReferenceState {
    fn new(exchange: &Exchange) -> Self {
        let run_id = exchange.reading.run_id.clone();
        Self { run_id, since: exchange.sent, offset: None, window: VecDeque::with_capacity(MAX_SAMPLES) }
    }

    fn keep(&mut self, sample: Sample) {
        if self.window.len() == MAX_SAMPLES {
            self.window.pop_front();
        }
        self.window.push_back(sample);
    }

    fn best(&self, now: i64) -> Option<Sample> {
        self.window.iter().copied().min_by_key(|sample| sample.uncertainty(now))
    }
}

impl Discipline {
    /// Nothing is known yet.
    pub const fn new(settings: Settings) -> Self {
        Self { settings, reference: None, mapping: None }
    }

    /// The mapping to cluster time, once enough exchanges support one.
    pub const fn mapping(&self) -> Option<Mapping> {
        self.mapping
    }

    /// Takes in a finished exchange.
    pub fn take(&mut self, exchange: &Exchange) -> NextStep {
        let reading = &exchange.reading;
        if self.reference.as_ref().is_none_or(|known| known.run_id != reading.run_id) {
            self.reference = Some(ReferenceState::new(exchange));
        }
        let Some(known) = &mut self.reference else { return NextStep::Retry };
        known.keep(Sample::of(exchange));
        let stored = reading.stored.as_ref().filter(|stored| stored.run_id == reading.run_id);
        known.offset = stored.map(|stored| stored.offset_us).or(known.offset);
        self.mapping = steer(self.mapping, known, exchange.received);
        match stored {
            Some(_) if known.window.len() >= MIN_SAMPLES => NextStep::Wait,
            Some(_) => NextStep::Retry,
            None => claim(self.settings, self.mapping, known, reading.stored.as_ref(), exchange.received),
        }
    }
}

/// The mapping from `now` on. It continues where it is and slews; only the first one
/// starts at its target, and rests on several exchanges. Without an offset it is held over.
fn steer(mapping: Option<Mapping>, known: &ReferenceState, now: i64) -> Option<Mapping> {
    let (Some(offset), Some(best)) = (known.offset, known.best(now)) else { return mapping };
    if mapping.is_none() && known.window.len() < MIN_SAMPLES {
        return None;
    }
    let target = best.server + offset + (now - best.middle);
    let before = mapping.unwrap_or(Mapping { from: now, at: target, ..Mapping::default() });
    Some(Mapping { measured: best.middle, half: best.half, ..before.slewing_to(target, now) })
}

/// No instance has claimed an offset for this process of the reference. An instance that
/// followed it knows the offset, one with a mapping continues that, and one without takes
/// the stored offset.
fn claim(
    settings: Settings,
    mapping: Option<Mapping>,
    known: &ReferenceState,
    before: Option<&StoredOffset>,
    now: i64,
) -> NextStep {
    if let Some(offset) = known.offset {
        return NextStep::Claim(offset);
    }
    let (Some(best), true) = (known.best(now), known.window.len() >= MIN_SAMPLES) else { return NextStep::Retry };
    let (waited, claim_delay) = (now - known.since, micros(settings.claim_delay));
    match mapping {
        Some(mapping) if is_certain_enough(settings, mapping, now) || waited >= claim_delay => {
            NextStep::Claim(mapping.at(best.middle) - best.server)
        }
        // The same host as before, most likely, and no instance ran meanwhile.
        None if waited >= claim_delay * 2 => NextStep::Claim(before.map_or(0, |stored| stored.offset_us)),
        _ => NextStep::Retry,
    }
}

fn is_certain_enough(settings: Settings, mapping: Mapping, now: i64) -> bool {
    mapping.uncertainty(now) <= micros(settings.max_uncertainty)
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 2)
}
