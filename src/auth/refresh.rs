//! Asks for the issuer's keys when a token names one that is not known: seldom, and once for all callers.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

/// What callers who meet an unknown key share with the task that fetches keys.
#[derive(Debug)]
pub struct Refresh {
    wanted: Notify,
    /// The number of the fetch that ended last.
    ended: watch::Sender<u64>,
    schedule: Mutex<Schedule>,
    /// Between two fetches that callers cause.
    interval: Duration,
    /// How long a caller waits for one.
    patience: Duration,
}

#[derive(Debug)]
struct Schedule {
    is_wanted: bool,
    /// The number of the fetch that began last.
    begun: u64,
    next_allowed: Instant,
}

/// A caller that waits for fetches: the one under way, which may have begun before its key was
/// published, and the next one.
#[derive(Debug)]
pub struct Waiting {
    ended: watch::Receiver<u64>,
    /// The fetch whose keys were looked at.
    looked: u64,
    /// The last fetch that is worth waiting for.
    last: u64,
    until: Instant,
}

impl Refresh {
    /// At most one fetch in `interval` is caused; a caller waits no longer than `patience`.
    pub fn new(interval: Duration, patience: Duration) -> Self {
        let schedule = Schedule { is_wanted: false, begun: 0, next_allowed: Instant::now() };
        Self { wanted: Notify::new(), ended: watch::Sender::new(0), schedule: Mutex::new(schedule), interval, patience }
    }

    /// Asks for a fetch. It comes, though perhaps after its caller has gone.
    pub fn ask(&self) -> Waiting {
        let mut schedule = self.schedule.lock();
        schedule.is_wanted = true;
        self.wanted.notify_one();
        let until = Instant::now() + self.patience;
        let next = u64::from(schedule.next_allowed <= until);
        let ended = self.ended.subscribe();
        let looked = *ended.borrow();
        Waiting { ended, looked, last: schedule.begun + next, until }
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
        schedule.is_wanted = false;
        schedule.begun += 1;
    }

    /// A fetch has ended, and what it brought is in force.
    pub fn end(&self) {
        let begun = self.schedule.lock().begun;
        self.ended.send_replace(begun);
    }
}

impl Waiting {
    /// Whether another fetch has ended, so that it is worth looking again.
    pub async fn next(&mut self) -> bool {
        let looked = self.looked;
        if looked >= self.last {
            return false;
        }
        match timeout_at(self.until, self.ended.wait_for(|ended| *ended > looked)).await {
            Ok(Ok(ended)) => {
                self.looked = *ended;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const PATIENCE: Duration = Duration::from_secs(1);

    /// How many fetches a caller saw the end of.
    async fn seen(mut waiting: Waiting) -> usize {
        let mut seen = 0;
        while waiting.next().await {
            seen += 1;
        }
        seen
    }

    async fn fetch(refresh: &Refresh, takes: Duration) {
        refresh.begin();
        tokio::time::sleep(takes).await;
        refresh.end();
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_cause_one_fetch_and_wait_for_it() {
        let refresh = Refresh::new(INTERVAL, PATIENCE);
        let callers = futures::future::join_all((0..100).map(|_| seen(refresh.ask())));
        let fetching = async {
            refresh.wanted().await;
            fetch(&refresh, PATIENCE / 2).await;
        };
        let began = Instant::now();
        let (seen, ()) = tokio::join!(callers, fetching);
        assert_eq!((seen, began.elapsed()), (vec![1; 100], PATIENCE / 2));
        assert_eq!(refresh.next_wanted(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_during_a_fetch_waits_for_the_next_one_too() {
        let refresh = Refresh::new(INTERVAL, PATIENCE);
        refresh.begin();
        let waiting = seen(refresh.ask());
        let fetching = async {
            tokio::time::sleep(PATIENCE / 4).await;
            refresh.end();
            refresh.wanted().await;
            fetch(&refresh, PATIENCE / 4).await;
        };
        let (seen, ()) = tokio::join!(waiting, fetching);
        assert_eq!(seen, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_fetch_that_is_not_allowed_yet_but_it_comes() {
        let refresh = Refresh::new(INTERVAL, PATIENCE);
        let began = Instant::now();
        refresh.ask();
        refresh.wanted().await;
        fetch(&refresh, Duration::ZERO).await;
        assert_eq!((seen(refresh.ask()).await, began.elapsed()), (0, Duration::ZERO));
        // Dropped halfway, as in a `select!`.
        assert!(tokio::time::timeout(INTERVAL / 2, refresh.wanted()).await.is_err());
        refresh.wanted().await;
        assert_eq!(began.elapsed(), INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_does_not_wait_for_a_slow_fetch() {
        let refresh = Refresh::new(INTERVAL, PATIENCE);
        refresh.begin();
        let began = Instant::now();
        assert_eq!((seen(refresh.ask()).await, began.elapsed()), (0, PATIENCE));
    }
}
