//! Asks the reference again and again, and moves the clock by what it learns.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::ClusterClock;
use super::discipline::{Discipline, Exchange, Next, Settings};
use super::mapping::SharedMapping;
use super::reference::{Away, Reading, Reference, StoredOffset};
use crate::clock::counter::{Counter, HostCounter};
use crate::telemetry::metrics::{CLOCK_CLAIMS_TOTAL, CLOCK_EXCHANGES_TOTAL, clock_uncertain};
use crate::telemetry::outage::{Outage, OutageTracker};

/// Between two exchanges, give or take a fifth: instances that started together part.
const EXCHANGE_INTERVAL: Duration = Duration::from_millis(500);

/// The same, while too little is known.
const FAST_INTERVAL: Duration = Duration::from_millis(20);

/// The same, while the reference is away.
const UNAVAILABLE_INTERVAL: Duration = Duration::from_millis(100);

/// An exchange that takes longer tells nothing worth knowing.
const EXCHANGE_TIMEOUT: Duration = Duration::from_millis(500);

static OUTAGE: Outage = Outage::new("clock", "cluster time is held over", "cluster time is followed again");

/// Keeps a clock on the reference, while it runs.
pub struct Follower<C = HostCounter> {
    exchanger: Exchanger<C>,
    clock: Arc<ClusterClock<C>>,
}

struct Exchanger<C> {
    counter: C,
    reference: Arc<dyn Reference>,
    discipline: Discipline,
    asker: OutageTracker<'static>,
}

impl<C: Counter> Follower<C> {
    pub(super) async fn start(
        counter: C,
        reference: Arc<dyn Reference>,
        settings: Settings,
    ) -> (Arc<ClusterClock<C>>, Self) {
        let discipline = Discipline::new(settings);
        let mut asking =
            Exchanger { counter: counter.clone(), reference, discipline, asker: OutageTracker::of(&OUTAGE) };
        let line = loop {
            let pause = asking.ask().await;
            match asking.discipline.mapping() {
                Some(line) => break line,
                None => sleep(pause).await,
            }
        };
        let newest_us = AtomicI64::new(i64::MIN);
        let clock = Arc::new(ClusterClock { counter, line: SharedMapping::new(line), newest_us });
        (Arc::clone(&clock), Self { exchanger: asking, clock })
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            let pause = self.exchanger.ask().await;
            if let Some(line) = self.exchanger.discipline.mapping() {
                self.clock.line.set(line);
                clock_uncertain(line.uncertainty(self.exchanger.counter.count_us()));
            }
            sleep(pause).await;
        }
    }
}

impl<C: Counter> Exchanger<C> {
    /// Asks once; gives when to ask again.
    async fn ask(&mut self) -> Duration {
        match self.exchange().await {
            Ok(exchange) => {
                self.record_outcome(None);
                let next = self.discipline.take(&exchange);
                self.follow(next, &exchange.reading).await
            }
            Err(away) => {
                self.record_outcome(Some(&away));
                UNAVAILABLE_INTERVAL
            }
        }
    }

    async fn exchange(&self) -> Result<Exchange, Away> {
        let sent = self.counter.count_us();
        let told = timeout(EXCHANGE_TIMEOUT, self.reference.exchange()).await.map_err(|late| Away(late.into()))??;
        Ok(Exchange { sent, received: self.counter.count_us(), reading: told })
    }

    async fn follow(&self, next: Next, told: &Reading) -> Duration {
        match next {
            Next::Wait => self.jittered_interval(),
            Next::Retry => FAST_INTERVAL,
            Next::Claim(offset_us) => {
                let new = StoredOffset { run_id: told.run_id.clone(), offset_us };
                // Whatever came of it, the next exchange shows.
                let claimed = timeout(EXCHANGE_TIMEOUT, self.reference.claim(told.stored.as_ref(), &new)).await;
                tracing::info!(run_id = new.run_id, offset_us, is_answered = claimed.is_ok(), "cluster time goes on");
                metrics::counter!(CLOCK_CLAIMS_TOTAL).increment(1);
                FAST_INTERVAL
            }
        }
    }

    /// The counter's last digits are as good as any dice.
    fn jittered_interval(&self) -> Duration {
        let dice = u64::try_from(self.counter.count_us()).unwrap_or(0) % 200;
        EXCHANGE_INTERVAL * 4 / 5 + Duration::from_millis(dice)
    }

    /// Logs changes, not every try.
    fn record_outcome(&mut self, why: Option<&Away>) {
        let outcome = if why.is_some() { "unanswered" } else { "answered" };
        metrics::counter!(CLOCK_EXCHANGES_TOTAL, "outcome" => outcome).increment(1);
        self.asker.record(why);
    }
}
