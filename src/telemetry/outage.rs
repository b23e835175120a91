//! Outages in the log: one line when it begins, with its cause, and one at its end, with its
//! length and how many calls it affected. Never a line for each call.

use std::error::Error;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A dependency that may be away, and its two log lines. Many callers share one outage.
#[derive(Debug)]
pub struct OutageLog {
    of: &'static str,
    begins: &'static str,
    ends: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    began: Option<Instant>,
    /// Callers that wait for the end.
    waiting: usize,
    /// Calls that it affected, those of waiting callers included.
    affected: u64,
}

/// How an outage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    lasted: Duration,
    affected: u64,
}

impl OutageLog {
    /// An outage of `of`, its name in the log, with its two lines.
    pub const fn new(of: &'static str, begins: &'static str, ends: &'static str) -> Self {
        Self { of, begins, ends, state: Mutex::new(State { began: None, waiting: 0, affected: 0 }) }
    }

    /// One more caller waits for its end. The first one logs the cause.
    pub fn join(&self, cause: &(dyn Error + 'static)) {
        if self.state.lock().join(Instant::now()) {
            tracing::warn!(of = self.of, error = chain(cause), "{}", self.begins);
        }
    }

    /// It affected one more call, which does not wait.
    pub fn count(&self) {
        self.state.lock().affected += 1;
    }

    /// A caller that joined waits no longer. The last one logs the end.
    pub fn leave(&self) {
        let ended = self.state.lock().leave(Instant::now());
        if let Some(Ended { lasted, affected }) = ended {
            let lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(of = self.of, lasted_ms, affected, "{}", self.ends);
        }
    }
}

impl State {
    /// Returns whether it is the first.
    fn join(&mut self, now: Instant) -> bool {
        self.waiting += 1;
        let is_first = self.waiting == 1;
        if is_first {
            (self.began, self.affected) = (Some(now), 0);
        }
        self.affected += 1;
        is_first
    }

    /// Returns the end, if it was the last.
    fn leave(&mut self, now: Instant) -> Option<Ended> {
        self.waiting = self.waiting.saturating_sub(1);
        let began = self.began.take_if(|_| self.waiting == 0)?;
        Some(Ended { lasted: now.saturating_duration_since(began), affected: self.affected })
    }
}

/// A caller that tries repeatedly, and is in an outage or not. Dropped, it waits no longer.
#[derive(Debug)]
pub struct OutageTracker<'a> {
    outage: &'a OutageLog,
    is_waiting: bool,
}

impl<'a> OutageTracker<'a> {
    /// A caller that is in no outage yet.
    pub const fn of(outage: &'a OutageLog) -> Self {
        Self { outage, is_waiting: false }
    }

    /// Records an attempt: failed with `cause`, or answered.
    pub fn record<E: Error + 'static>(&mut self, cause: Option<&E>) {
        match cause {
            Some(cause) => self.failed(cause),
            None => self.answered(),
        }
    }

    /// Records an attempt that failed.
    pub fn failed(&mut self, cause: &(dyn Error + 'static)) {
        if !std::mem::replace(&mut self.is_waiting, true) {
            self.outage.join(cause);
        }
    }

    /// Records an attempt that was answered.
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

/// A throttled log line appears no more often than this.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Throttles a log line that thousands of requests may write in a second: the first is logged,
/// later ones are counted.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<Throttle>);

#[derive(Debug, Default)]
struct Throttle {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl LogThrottle {
    /// A throttle that has logged nothing.
    pub const fn new() -> Self {
        Self(Mutex::new(Throttle { logged_at: None, unlogged: 0 }))
    }

    /// Counts one more. Returns how many there were since the last logged one, if this one is due.
    pub fn next(&self) -> Option<u64> {
        let mut throttle = self.0.lock();
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

/// An error with all its causes: a log line in JSON would show only the first.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for each in std::iter::successors(Some(error), |error| (*error).source()) {
        let text = each.to_string();
        // Some errors include the text of their cause.
        if texts.last().is_none_or(|before| !before.ends_with(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
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
    fn a_caller_that_retries_joins_once() {
        static OUTAGE: OutageLog = OutageLog::new("test", "away", "back");
        let (mut one, mut other) = (OutageTracker::of(&OUTAGE), OutageTracker::of(&OUTAGE));
        let away = io::Error::other("away");
        for _ in 0..3 {
            one.failed(&away);
            other.record(Some(&away));
        }
        one.record(None::<&io::Error>);
        let waiting_and_affected = || {
            let state = OUTAGE.state.lock();
            (state.waiting, state.affected)
        };
        assert_eq!(waiting_and_affected(), (1, 2));
        drop(other);
        assert_eq!(waiting_and_affected(), (0, 2));
    }

    #[test]
    fn a_repeated_line_is_logged_at_intervals_with_its_count() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let counts: Vec<_> = (0..25).map(|second| throttle.next(now + SECOND * second)).collect();
        let logged: Vec<_> = counts.iter().enumerate().filter_map(|(at, each)| Some((at, (*each)?))).collect();
        assert_eq!(logged, [(0, 1), (10, 10), (20, 10)]);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("failed to reach it: {0}")]
    struct Twice(#[source] io::Error);

    #[test]
    fn an_error_is_shown_with_each_cause_once() {
        assert_eq!(chain(&Twice(io::Error::other("refused"))), "failed to reach it: refused");
    }
}
