//! A circuit breaker: a service that does not answer is left alone for a while.
//!
//! After a few requests in a row without an answer the circuit opens. Then callers are turned
//! away at once, and learn when to retry. Now and then one request probes for all; its
//! answer closes the circuit. A breaker wraps the request with its time-out; the code around
//! the breaker tells the caller to wait.

mod circuit;

use std::error::Error;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use circuit::{Circuit, PhaseId, Settings, State};

use crate::telemetry::metrics::{BREAKER_OPEN, BREAKER_OPENED_TOTAL, BREAKER_TURNED_AWAY_TOTAL};
use crate::telemetry::outage::OutageLog;

/// The circuit is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no request was answered lately; retry in {} ms", retry_after.as_millis())]
pub struct Open {
    /// When a retry is worth it.
    pub retry_after: Duration,
}

/// The caller gave no reason why there was no answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct CallerTimeout;

/// A circuit that many callers share.
#[derive(Debug)]
pub struct Breaker {
    /// The name of the service, for the metrics.
    of: &'static str,
    circuit: Mutex<Circuit>,
    /// Wakes waiting callers when the circuit changes.
    changed: Notify,
    /// Logged while the circuit is not closed.
    outage: OutageLog,
}

/// Permission for one request. Dropped without an outcome, it counts for nothing.
#[derive(Debug)]
#[must_use = "report the outcome"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    phase: Option<PhaseId>,
}

impl Breaker {
    /// A closed one before the service `of`, such as `store`.
    pub fn new(of: &'static str, settings: Settings) -> Self {
        metrics::gauge!(BREAKER_OPEN, "of" => of).set(0);
        metrics::counter!(BREAKER_OPENED_TOTAL, "of" => of).increment(0);
        metrics::counter!(BREAKER_TURNED_AWAY_TOTAL, "of" => of).increment(0);
        let outage = OutageLog::new(of, "nobody answers; callers are told so without asking", "answers come again");
        Self { of, circuit: Mutex::new(Circuit::new(settings)), changed: Notify::new(), outage }
    }

    /// The state of the circuit.
    pub fn state(&self) -> State {
        self.circuit.lock().state()
    }

    /// Permission for a request, or at once the time to retry.
    pub fn acquire(&self) -> Result<Permit<'_>, Open> {
        self.try_acquire(Instant::now()).inspect_err(|_| {
            metrics::counter!(BREAKER_TURNED_AWAY_TOTAL, "of" => self.of).increment(1);
            self.outage.count();
        })
    }

    /// Waits for permission, for no longer than `timeout`.
    pub async fn wait(&self, timeout: Duration) -> Result<Permit<'_>, Open> {
        let until = Instant::now() + timeout;
        loop {
            // Created before the attempt, so that no change falls in between.
            let changed = self.changed.notified();
            let now = Instant::now();
            let open = match self.try_acquire(now) {
                Err(open) if now < until => open,
                decided => return decided,
            };
            let retry_at = until.min(now + open.retry_after);
            // Either way the next turn tries again.
            let _ = tokio::time::timeout_at(retry_at, changed).await;
        }
    }

    /// Runs the request, unless the circuit is open. `is_silence` tells errors that mean no
    /// answer from those that are an answer.
    pub async fn guard<T, E: Error + From<Open> + 'static>(
        &self,
        request: impl Future<Output = Result<T, E>>,
        is_silence: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        self.acquire()?.with(request, is_silence).await
    }

    fn try_acquire(&self, now: Instant) -> Result<Permit<'_>, Open> {
        let phase = self.change(None, |circuit| circuit.acquire(now));
        let phase = phase.map_err(|retry_at| Open { retry_after: retry_at.saturating_duration_since(now) })?;
        Ok(Permit { breaker: self, phase: Some(phase) })
    }

    /// Changes the circuit, and logs a new state with its cause.
    fn change<T>(&self, cause: Option<&(dyn Error + 'static)>, change: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit = self.circuit.lock();
        let before = circuit.state();
        let changed = change(&mut circuit);
        let state = circuit.state();
        drop(circuit);
        if state != before {
            self.log_change(before, state, cause);
        }
        changed
    }

    fn log_change(&self, before: State, state: State, cause: Option<&(dyn Error + 'static)>) {
        metrics::gauge!(BREAKER_OPEN, "of" => self.of).set(u8::from(state != State::Closed));
        match (before, state) {
            (State::Closed, State::Open) => {
                metrics::counter!(BREAKER_OPENED_TOTAL, "of" => self.of).increment(1);
                self.outage.join(cause.unwrap_or(&CallerTimeout));
            }
            (_, State::Closed) => self.outage.leave(),
            _ => {}
        }
        self.changed.notify_waiters();
    }
}

impl Permit<'_> {
    /// Runs the request, and reports the outcome.
    pub async fn with<T, E: Error + 'static>(
        self,
        request: impl Future<Output = Result<T, E>>,
        is_silence: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        let outcome = request.await;
        match &outcome {
            Err(error) if is_silence(error) => self.failure(error),
            _ => self.success(),
        }
        outcome
    }

    /// There was an answer, a yes or a no.
    pub fn success(mut self) {
        if let Some(phase) = self.phase.take() {
            self.breaker.change(None, |circuit| circuit.success(phase));
        }
    }

    /// There was none, and why.
    pub fn failure(mut self, cause: &(dyn Error + 'static)) {
        if let Some(phase) = self.phase.take() {
            self.breaker.change(Some(cause), |circuit| circuit.failure(phase, Instant::now()));
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(phase) = self.phase.take() {
            self.breaker.change(None, |circuit| circuit.cancelled(phase, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[derive(Debug, PartialEq, thiserror::Error)]
    enum Error {
        #[error("silence")]
        Silence,
        #[error("no")]
        No,
        #[error(transparent)]
        Open(Open),
    }

    impl From<Open> for Error {
        fn from(open: Open) -> Self {
            Self::Open(open)
        }
    }

    fn breaker(first: Duration) -> Breaker {
        Breaker::new("test", Settings { failures: 2, first, most: LONG, probe: LONG })
    }

    async fn request(breaker: &Breaker, answer: Result<(), Error>) -> Result<(), Error> {
        breaker.guard(async { answer }, |error| *error == Error::Silence).await
    }

    #[tokio::test]
    async fn silence_opens_a_breaker_and_a_refusal_does_not() {
        let breaker = breaker(LONG);
        for _ in 0..5 {
            assert_eq!(request(&breaker, Err(Error::No)).await, Err(Error::No));
        }
        for _ in 0..2 {
            assert_eq!(request(&breaker, Err(Error::Silence)).await, Err(Error::Silence));
        }
        let Err(Error::Open(open)) = request(&breaker, Ok(())).await else { panic!("it is closed") };
        assert!(open.retry_after <= LONG && open.retry_after > LONG / 2);
    }

    #[tokio::test]
    async fn an_open_breaker_lets_one_probe_through() {
        let (breaker, requests) = (breaker(Duration::from_millis(20)), AtomicUsize::new(0));
        for _ in 0..2 {
            request(&breaker, Err(Error::Silence)).await.unwrap_err();
        }
        let answer = || {
            requests.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Error>(()) }
        };
        let waiting = (0..9).map(|_| async {
            let permit = breaker.wait(LONG).await.unwrap();
            permit.with(answer(), |_| true).await
        });
        let (answers, turned_away) =
            futures::join!(futures::future::join_all(waiting), async { breaker.acquire().is_err() });
        assert!(turned_away && answers.iter().all(Result::is_ok));
        assert_eq!((requests.load(Ordering::Relaxed), breaker.state()), (9, State::Closed));
    }

    #[tokio::test]
    async fn waiting_ends_at_its_timeout() {
        let breaker = breaker(LONG);
        for _ in 0..2 {
            request(&breaker, Err(Error::Silence)).await.unwrap_err();
        }
        let started = Instant::now();
        assert!(breaker.wait(Duration::from_millis(30)).await.is_err());
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn after_a_dropped_probe_the_next_one_may_try() {
        let breaker = breaker(Duration::ZERO);
        for _ in 0..2 {
            request(&breaker, Err(Error::Silence)).await.unwrap_err();
        }
        let probe = breaker.acquire().unwrap();
        assert!(breaker.acquire().is_err());
        drop(probe);
        assert_eq!(request(&breaker, Ok(())).await, Ok(()));
        assert_eq!(breaker.state(), State::Closed);
    }
}
