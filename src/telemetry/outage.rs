//! What the log says of an outage: one line when it begins, with its cause, and one at its
//! end with how long it was and how many it affected. Never one for each of those.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Something that may be away, and the two lines about it. Many may meet the same outage.
#[derive(Debug)]
pub struct Outage {
    of: &'static str,
    begins: &'static str,
    ends: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    began: Option<Instant>,
    /// Who waits for the end.
    waiting: usize,
    /// Who was affected by it, the waiting included.
    affected: u64,
}

/// How an outage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    lasted: Duration,
    affected: u64,
}

impl Outage {
    /// One of `of`, as fields of the log call it, with its two lines.
    #[must_use]
    pub const fn new(of: &'static str, begins: &'static str, ends: &'static str) -> Self {
        Self { of, begins, ends, state: Mutex::new(State { began: None, waiting: 0, affected: 0 }) }
    }

    /// One more waits for its end. The first says why in the log.
    pub fn join(&self, cause: &(dyn Error + 'static)) {
        if self.state().join(Instant::now()) {
            tracing::warn!(of = self.of, error = chain(cause), "{}", self.begins);
        }
    }

    /// One more was affected by it, and does not wait.
    pub fn count(&self) {
        self.state().affected += 1;
    }

    /// One who joined waits no longer. The last says in the log what it came to.
    pub fn leave(&self) {
        let ended = self.state().leave(Instant::now());
        if let Some(Ended { lasted, affected }) = ended {
            let lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(of = self.of, lasted_ms, affected, "{}", self.ends);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in there can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether that is the first.
    fn join(&mut self, now: Instant) -> bool {
        self.waiting += 1;
        let is_first = self.waiting == 1;
        if is_first {
            (self.began, self.affected) = (Some(now), 0);
        }
        self.affected += 1;
        is_first
    }

    /// What it came to, if that was the last.
    fn leave(&mut self, now: Instant) -> Option<Ended> {
        self.waiting = self.waiting.saturating_sub(1);
        let began = self.began.take_if(|_| self.waiting == 0)?;
        Some(Ended { lasted: now.saturating_duration_since(began), affected: self.affected })
    }
}

/// One who asks again and again, and is in an outage or is not. Dropped, it waits no longer.
#[derive(Debug)]
pub struct OutageTracker<'a> {
    outage: &'a Outage,
    is_waiting: bool,
}

impl<'a> OutageTracker<'a> {
    /// One who is in none yet.
    #[must_use]
    pub const fn of(outage: &'a Outage) -> Self {
        Self { outage, is_waiting: false }
    }

    /// What came of asking.
    pub fn record<E: Error + 'static>(&mut self, failed: Option<&E>) {
        match failed {
            Some(cause) => self.failed(cause),
            None => self.answered(),
        }
    }

    /// It was not answered.
    pub fn failed(&mut self, cause: &(dyn Error + 'static)) {
        if !std::mem::replace(&mut self.is_waiting, true) {
            self.outage.join(cause);
        }
    }

    /// It was.
    pub fn answered(&mut self) {
        if std::mem::replace(&mut self.is_waiting, false) {
            self.outage.leave();
        }
    }
}

impl Drop for OutageTracker<'_> {
    fn drop(&mut self) {
        self.answered();
    }
}

/// Says something that many requests meet at once no more often than this.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What may happen to thousands of requests in a second: the first is told, and then how many.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<Throttle>);

#[derive(Debug, Default)]
struct Throttle {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl LogThrottle {
    /// None so far.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Throttle { logged_at: None, unlogged: 0 }))
    }

    /// One more. Gives how many there were since the last that was told, if it is to be told.
    pub fn next(&self) -> Option<u64> {
        let mut throttle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.next(Instant::now())
    }
}

impl Throttle {
    fn next(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        if self.logged_at.is_some_and(|at| now < at + LOG_INTERVAL) {
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// An error with all it comes from: a log line in JSON would show the first of them alone.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for each in std::iter::successors(Some(error), |error| (*error).source()) {
        let text = each.to_string();
        // Some say what they come from themselves.
        if said.last().is_none_or(|before| !before.ends_with(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn none() -> State {
        State { began: None, waiting: 0, affected: 0 }
    }

    #[test]
    fn the_first_begins_an_outage_and_the_last_ends_it() {
        let (mut state, now) = (none(), Instant::now());
        assert!(state.join(now));
        assert!(!state.join(now + SECOND));
        state.affected += 5;
        assert_eq!(state.leave(now + SECOND * 2), None);
        assert_eq!(state.leave(now + SECOND * 3), Some(Ended { lasted: SECOND * 3, affected: 7 }));
        assert_eq!(state.leave(now + SECOND * 4), None);
        assert!(state.join(now + SECOND * 5));
        assert_eq!(state.leave(now + SECOND * 6), Some(Ended { lasted: SECOND, affected: 1 }));
    }

    #[test]
    fn who_asks_again_and_again_joins_once() {
        static OUTAGE: Outage = Outage::new("test", "away", "back");
        let (mut one, mut other) = (OutageTracker::of(&OUTAGE), OutageTracker::of(&OUTAGE));
        let away = io::Error::other("away");
        for _ in 0..3 {
            one.failed(&away);
            other.record(Some(&away));
        }
        one.record(None::<&io::Error>);
        let waiting_and_met = || {
            let state = OUTAGE.state();
            (state.waiting, state.affected)
        };
        assert_eq!(waiting_and_met(), (1, 2));
        drop(other);
        assert_eq!(waiting_and_met(), (0, 2));
    }

    #[test]
    fn what_repeats_is_told_now_and_then_with_how_often() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let told: Vec<_> = (0..25).map(|second| throttle.next(now + SECOND * second)).collect();
        let said: Vec<_> = told.iter().enumerate().filter_map(|(at, each)| Some((at, (*each)?))).collect();
        assert_eq!(said, [(0, 1), (10, 10), (20, 10)]);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("failed to reach it: {0}")]
    struct Twice(#[source] io::Error);

    #[test]
    fn an_error_is_told_with_all_it_comes_from_once() {
        assert_eq!(chain(&Twice(io::Error::other("refused"))), "failed to reach it: refused");
    }
}
