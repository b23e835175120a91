//! What is made of exchanges with the reference: which one counts, which offset holds,
//! and who says what the next reference's offset is. Pure: all that is counted is handed in.

use std::collections::VecDeque;
use std::time::Duration;

use super::mapping::{MAX_DRIFT_PPM, Mapping};
use super::reference::{Reading, StoredOffset};

/// So many exchanges are kept.
const MAX_SAMPLES: usize = 64;

/// So many are made before anything rests on them: the best of several is good.
const MIN_SAMPLES: usize = 8;

/// When a clock is good enough, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whoever knows cluster time no better than that lets others go first.
    pub max_uncertainty: Duration,
    /// How long others are let go first. It must be long enough for every living
    /// instance to make a few exchanges.
    pub courtesy: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_uncertainty: Duration::from_millis(50), courtesy: Duration::from_millis(1_500) }
    }
}

/// One exchange: when it began and ended, as this host counts microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// When it was asked.
    pub sent: i64,
    /// When the answer was there.
    pub received: i64,
    /// The answer.
    pub reading: Reading,
}

/// What an exchange calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another exchange, before long.
    Wait,
    /// More of them at once: too little is known yet, or others are let go first.
    Retry,
    /// This offset, in microseconds, is to be said of the reference, unless somebody did.
    Claim(i64),
}

/// What is known of cluster time here.
#[derive(Debug)]
pub struct Discipline {
    settings: Settings,
    reference: Option<ReferenceState>,
    mapping: Option<Mapping>,
}

/// One life of the reference.
#[derive(Debug)]
struct ReferenceState {
    run_id: String,
    /// When it was first met.
    since: i64,
    /// What makes cluster time of its time, once somebody said so.
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
        // Each stamp was cut off to whole microseconds.
        Self { middle: exchange.sent + half, half: half + 2, server: exchange.reading.server_us }
    }

    /// A short round trip is worth less the longer it is past.
    fn uncertainty(self, now: i64) -> i64 {
        self.half + (now - self.middle) / MAX_DRIFT_PPM
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
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings, reference: None, mapping: None }
    }

    /// Cluster time, as far as it is known; before it was told once, nothing.
    #[must_use]
    pub const fn mapping(&self) -> Option<Mapping> {
        self.mapping
    }

    /// An exchange came to its end.
    pub fn take(&mut self, exchange: &Exchange) -> Next {
        let told = &exchange.reading;
        if self.reference.as_ref().is_none_or(|known| known.run_id != told.run_id) {
            self.reference = Some(ReferenceState::new(exchange));
        }
        let Some(known) = &mut self.reference else { return Next::Retry };
        known.keep(Sample::of(exchange));
        let stored = told.stored.as_ref().filter(|stored| stored.run_id == told.run_id);
        known.offset = stored.map(|stored| stored.offset_us).or(known.offset);
        self.mapping = steered(self.mapping, known, exchange.received);
        match stored {
            Some(_) if known.window.len() >= MIN_SAMPLES => Next::Wait,
            Some(_) => Next::Retry,
            None => claimed(self.settings, self.mapping, known, told.stored.as_ref(), exchange.received),
        }
    }
}

/// The line from `now` on. It goes on where it is, and is corrected by and by; only
/// the first one begins where it should be, and rests on several. Without an offset it is held over.
fn steered(line: Option<Mapping>, known: &ReferenceState, now: i64) -> Option<Mapping> {
    let (Some(offset), Some(best)) = (known.offset, known.best(now)) else { return line };
    if line.is_none() && known.window.len() < MIN_SAMPLES {
        return None;
    }
    let should = best.server + offset + (now - best.middle);
    let at = line.map_or(should, |line| line.at(now));
    Some(Mapping { from: now, at, pending_correction: should - at, measured: best.middle, half: best.half })
}

/// Nobody says what offset this life of the reference has. Whoever followed it before
/// knows it; whoever has a clock continues that; whoever has none takes what was there.
fn claimed(
    settings: Settings,
    line: Option<Mapping>,
    known: &ReferenceState,
    before: Option<&StoredOffset>,
    now: i64,
) -> Next {
    if let Some(offset) = known.offset {
        return Next::Claim(offset);
    }
    let (Some(best), true) = (known.best(now), known.window.len() >= MIN_SAMPLES) else { return Next::Retry };
    let (waited, courtesy) = (now - known.since, micros(settings.courtesy));
    match line {
        Some(line) if is_certain_enough(settings, line, now) || waited >= courtesy => {
            Next::Claim(line.at(best.middle) - best.server)
        }
        // The same host as before, most likely, and nobody was there meanwhile.
        None if waited >= courtesy * 2 => Next::Claim(before.map_or(0, |stored| stored.offset_us)),
        _ => Next::Retry,
    }
}

fn is_certain_enough(settings: Settings, line: Mapping, now: i64) -> bool {
    line.uncertainty(now) <= micros(settings.max_uncertainty)
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 2)
}
