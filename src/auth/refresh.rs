//! Asks for the issuer's keys when a token names one that is not known: seldom, and once for all callers.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// What callers who meet an unknown key share with the task that fetches keys.
#[derive(Debug)]
pub struct Refresh {
    wanted: Notify,
    fetches: watch::Sender<u64>,
    schedule: Mutex<Schedule>,
    /// Between two fetches that callers cause.
    interval: Duration,
    /// How long a caller waits for one.
    patience: Duration,
}

#[derive(Debug)]
struct Schedule {
    is_wanted: bool,
    is_under_way: bool,
    next_allowed: Instant,
}

impl Refresh {
    /// At most one fetch in `interval` is caused; a caller waits for it no longer than `patience`.
    pub fn new(interval: Duration, patience: Duration) -> Self {
        let schedule = Schedule { is_wanted: false, is_under_way: false, next_allowed: Instant::now() };
        Self {
            wanted: Notify::new(),
            fetches: watch::Sender::new(0),
            schedule: Mutex::new(schedule),
            interval,
            patience,
        }
    }

    /// Follows the fetches that end from now on.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.fetches.subscribe()
    }

    /// Asks for a fetch, and waits until one has ended. Returns early where none would end in time.
    pub async fn wait(&self, mut fetches: watch::Receiver<u64>) {
        if self.ask() {
            // Whether it ended or not, what is known then is looked at.
            let _ = timeout(self.patience, fetches.changed()).await;
        }
    }

    /// Whether a fetch may end while a caller waits.
    fn ask(&self) -> bool {
        let mut schedule = self.schedule.lock();
        schedule.is_wanted = true;
        self.wanted.notify_one();
        schedule.is_under_way || schedule.next_allowed <= Instant::now() + self.patience
    }

    /// Ready once a caller has asked and a fetch is allowed. What was asked is not lost if this is dropped.
    pub async fn wanted(&self) {
        loop {
            let Some(allowed) = self.next_wanted() else {
                self.wanted.notified().await;
                continue;
            };
            sleep_until(allowed).await;
            self.schedule.lock().next_allowed = Instant::now() + self.interval;
            return;
        }
    }

    fn next_wanted(&self) -> Option<Instant> {
        let schedule = self.schedule.lock();
        schedule.is_wanted.then_some(schedule.next_allowed)
    }

    /// A fetch begins, for all who have asked until now.
    pub fn begin(&self) {
        let mut schedule = self.schedule.lock();
        (schedule.is_wanted, schedule.is_under_way) = (false, true);
    }

    /// A fetch has ended, and what it brought is in force.
    pub fn end(&self) {
        self.schedule.lock().is_under_way = false;
        self.fetches.send_modify(|fetches| *fetches += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const PATIENCE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn many_callers_cause_one_fetch_and_wait_for_it() {
        let refresh = Refresh::new(INTERVAL, PATIENCE);
        let callers = futures::future::join_all((0..100).map(|_| refresh.wait(refresh.follow())));
        let fetching = async {
            refresh.wanted().await;
            refresh.begin();
            tokio::time::sleep(PATIENCE / 2).await;
            refresh.end();
        };
        let began = Instant::now();
        tokio::join!(callers, fetching);
        assert_eq!(began.elapsed(), PATIENCE / 2);
        assert_eq!(refresh.next_wanted(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_fetch_that_is_not_allowed_yet_but_it_comes() {
        let refresh = Refresh::new(INTERVAL, PATIENCE);
        let began = Instant::now();
        refresh.ask();
        refresh.wanted().await;
        refresh.begin();
        refresh.end();
        refresh.wait(refresh.follow()).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        // Dropped halfway, as in a `select!`.
        assert!(timeout(INTERVAL / 2, refresh.wanted()).await.is_err());
        refresh.wanted().await;
        assert_eq!(began.elapsed(), INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_does_not_wait_for_a_slow_fetch() {
        let refresh = Refresh::new(INTERVAL, PATIENCE);
        refresh.begin();
        let began = Instant::now();
        refresh.wait(refresh.follow()).await;
        assert_eq!(began.elapsed(), PATIENCE);
    }
}
