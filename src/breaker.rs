//! Who does not answer is not asked again and again: a breaker before anything that may be away.
//!
//! After a few questions in a row that nobody answers the circuit opens, and whoever
//! comes is told at once when to come again. Now and then one is let through for all;
//! its answer closes the circuit. Where to put one: around the asking, inside of it a
//! time-out, outside of it whoever can tell the caller to wait.

mod circuit;

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use circuit::{Circuit, Settings, State, Ticket};

use crate::telemetry::metrics::{BREAKER_OPEN, BREAKER_OPENED_TOTAL, BREAKER_TURNED_AWAY_TOTAL};
use crate::telemetry::outage::Outage;

/// Nobody is asked for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody has answered lately; to be asked again in {} ms", retry_after.as_millis())]
pub struct Open {
    /// When it is worth coming again.
    pub retry_after: Duration,
}

/// Who asked did not say why there was no answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct CallerTimeout;

/// A circuit that many share.
#[derive(Debug)]
pub struct Breaker {
    /// Of whom, for the metrics.
    of: &'static str,
    circuit: Mutex<Circuit>,
    /// Tells those who wait that the circuit has changed.
    changed: Notify,
    /// What the log says while it is not closed.
    outage: Outage,
}

/// Leave to ask once. Dropped without a word, it counts for nothing.
#[derive(Debug)]
#[must_use = "say what came of it"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    turn: Option<Ticket>,
}

impl Breaker {
    /// A closed one before `of`, such as `store`.
    #[must_use]
    pub fn new(of: &'static str, settings: Settings) -> Self {
        metrics::gauge!(BREAKER_OPEN, "of" => of).set(0);
        metrics::counter!(BREAKER_OPENED_TOTAL, "of" => of).increment(0);
        metrics::counter!(BREAKER_TURNED_AWAY_TOTAL, "of" => of).increment(0);
        let outage = Outage::new(of, "nobody answers; callers are told so without asking", "answers come again");
        Self { of, circuit: Mutex::new(Circuit::new(settings)), changed: Notify::new(), outage }
    }

    /// What it does with whoever comes.
    #[must_use]
    pub fn state(&self) -> State {
        self.circuit().state()
    }

    /// Leave to ask, or at once when to come again.
    pub fn acquire(&self) -> Result<Permit<'_>, Open> {
        self.try_acquire(Instant::now()).inspect_err(|_| {
            metrics::counter!(BREAKER_TURNED_AWAY_TOTAL, "of" => self.of).increment(1);
            self.outage.count();
        })
    }

    /// Leave to ask, waited for no longer than `patience`.
    pub async fn wait(&self, patience: Duration) -> Result<Permit<'_>, Open> {
        let until = Instant::now() + patience;
        loop {
            // Listening begins before the question, so that no change falls in between.
            let changed = self.changed.notified();
            let now = Instant::now();
            let open = match self.try_acquire(now) {
                Err(open) if now < until => open,
                decided => return decided,
            };
            let again = until.min(now + open.retry_after);
            // Either way the circuit is asked again.
            let _ = tokio::time::timeout_at(again, changed).await;
        }
    }

    /// Asks, if anybody may be asked. `is_silence` tells errors that mean nobody
    /// answered from those that are an answer.
    pub async fn guard<T, E: Error + From<Open> + 'static>(
        &self,
        asking: impl Future<Output = Result<T, E>>,
        is_silence: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        let leave = self.acquire()?;
        leave.with(asking, is_silence).await
    }

    fn try_acquire(&self, now: Instant) -> Result<Permit<'_>, Open> {
        let turn = self.change(None, |circuit| circuit.ask(now));
        let turn = turn.map_err(|again| Open { retry_after: again.saturating_duration_since(now) })?;
        Ok(Permit { breaker: self, turn: Some(turn) })
    }

    /// Changes the circuit, and says so if it is not what it was, with the cause.
    fn change<T>(&self, cause: Option<&(dyn Error + 'static)>, change: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit = self.circuit();
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

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        // Nothing in there can panic half-way.
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Asks, and says what came of it.
    pub async fn with<T, E: Error + 'static>(
        self,
        asking: impl Future<Output = Result<T, E>>,
        is_silence: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        let said = asking.await;
        match &said {
            Err(error) if is_silence(error) => self.failure(error),
            _ => self.success(),
        }
        said
    }

    /// Somebody answered, with yes or no.
    pub fn success(mut self) {
        if let Some(turn) = self.turn.take() {
            self.breaker.change(None, |circuit| circuit.success(turn));
        }
    }

    /// Nobody did, and why.
    pub fn failure(mut self, cause: &(dyn Error + 'static)) {
        if let Some(turn) = self.turn.take() {
            self.breaker.change(Some(cause), |circuit| circuit.failure(turn, Instant::now()));
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.breaker.change(None, |circuit| circuit.cancelled(turn, Instant::now()));
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

    async fn ask(breaker: &Breaker, answer: Result<(), Error>) -> Result<(), Error> {
        breaker.guard(async { answer }, |error| *error == Error::Silence).await
    }

    #[tokio::test]
    async fn silence_opens_it_and_a_no_does_not() {
        let breaker = breaker(LONG);
        for _ in 0..5 {
            assert_eq!(ask(&breaker, Err(Error::No)).await, Err(Error::No));
        }
        for _ in 0..2 {
            assert_eq!(ask(&breaker, Err(Error::Silence)).await, Err(Error::Silence));
        }
        let Err(Error::Open(open)) = ask(&breaker, Ok(())).await else { panic!("it is closed") };
        assert!(open.retry_after <= LONG && open.retry_after > LONG / 2);
    }

    #[tokio::test]
    async fn nobody_is_asked_while_it_is_open_and_then_one() {
        let (breaker, asked) = (breaker(Duration::from_millis(20)), AtomicUsize::new(0));
        for _ in 0..2 {
            ask(&breaker, Err(Error::Silence)).await.unwrap_err();
        }
        let asking = || {
            asked.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Error>(()) }
        };
        let waiting = (0..9).map(|_| async {
            let leave = breaker.wait(LONG).await.unwrap();
            leave.with(asking(), |_| true).await
        });
        let (answers, turned_away) =
            futures::join!(futures::future::join_all(waiting), async { breaker.acquire().is_err() });
        assert!(turned_away && answers.iter().all(Result::is_ok));
        assert_eq!((asked.load(Ordering::Relaxed), breaker.state()), (9, State::Closed));
    }

    #[tokio::test]
    async fn who_waits_waits_no_longer_than_it_said() {
        let breaker = breaker(LONG);
        for _ in 0..2 {
            ask(&breaker, Err(Error::Silence)).await.unwrap_err();
        }
        let began = Instant::now();
        assert!(breaker.wait(Duration::from_millis(30)).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_probe_that_is_dropped_lets_the_next_one_try() {
        let breaker = breaker(Duration::ZERO);
        for _ in 0..2 {
            ask(&breaker, Err(Error::Silence)).await.unwrap_err();
        }
        let probe = breaker.acquire().unwrap();
        assert!(breaker.acquire().is_err());
        drop(probe);
        assert_eq!(ask(&breaker, Ok(())).await, Ok(()));
        assert_eq!(breaker.state(), State::Closed);
    }
}
