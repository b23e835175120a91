//! Exchanges readings with the reference again and again, and moves the clock accordingly.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::ClusterClock;
use super::discipline::{Discipline, Exchange, NextStep, Settings};
use super::reference::{Reading, Reference, ReferenceUnavailable, StoredOffset};
use crate::clock::host::HostCounter;
use crate::clock::mapped::{Counter, MappedClock};
use crate::telemetry::metrics::{CLOCK_CLAIMS_TOTAL, CLOCK_EXCHANGES_TOTAL, set_clock_uncertainty};
use crate::telemetry::outage::{OutageLog, OutageTracker};

/// Between two exchanges, give or take a fifth: instances that started together spread out.
const EXCHANGE_INTERVAL: Duration = Duration::from_millis(500);

/// The same, while too little is known.
const FAST_INTERVAL: Duration = Duration::from_millis(20);

/// The same, while the reference is away.
const UNAVAILABLE_INTERVAL: Duration = Duration::from_millis(100);

/// An exchange that takes longer is too inexact to use.
const EXCHANGE_TIMEOUT: Duration = Duration::from_millis(500);

static OUTAGE: OutageLog = OutageLog::new("clock", "cluster time is held over", "cluster time is followed again");

/// Keeps a clock on the reference, while it runs.
pub struct Follower<C = HostCounter> {
    exchanger: Exchanger<C>,
    clock: Arc<ClusterClock<C>>,
}

struct Exchanger<C> {
    counter: C,
    reference: Arc<dyn Reference>,
    discipline: Discipline,
    outage: OutageTracker<'static>,
}

impl<C: Counter> Follower<C> {
    /// A clock and the follower that keeps it on the reference, which must run. Returns
    /// once the reference has told the time: without it there is no cluster time.
    pub async fn start(counter: C, reference: Arc<dyn Reference>, settings: Settings) -> (Arc<ClusterClock<C>>, Self) {
        let (discipline, outage) = (Discipline::new(settings), OutageTracker::of(&OUTAGE));
        let mut exchanger = Exchanger { counter: counter.clone(), reference, discipline, outage };
        let mapping = loop {
            let pause = exchanger.step().await;
            match exchanger.discipline.mapping() {
                Some(mapping) => break mapping,
                None => sleep(pause).await,
            }
        };
        let clock = Arc::new(ClusterClock(MappedClock::new(counter, mapping)));
        (Arc::clone(&clock), Self { exchanger, clock })
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            let pause = self.exchanger.step().await;
            if let Some(mapping) = self.exchanger.discipline.mapping() {
                self.clock.0.set(mapping);
                set_clock_uncertainty(self.clock.0.uncertainty_us());
            }
            sleep(pause).await;
        }
    }
}

impl<C: Counter> Exchanger<C> {
    /// Makes one exchange; returns the time until the next.
    async fn step(&mut self) -> Duration {
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

    async fn exchange(&self) -> Result<Exchange, ReferenceUnavailable> {
        let sent = self.counter.count_us();
        let reading = timeout(EXCHANGE_TIMEOUT, self.reference.exchange())
            .await
            .map_err(|late| ReferenceUnavailable(late.into()))??;
        Ok(Exchange { sent, received: self.counter.count_us(), reading })
    }

    async fn follow(&self, next: NextStep, reading: &Reading) -> Duration {
        match next {
            NextStep::Wait => self.jittered_interval(),
            NextStep::Retry => FAST_INTERVAL,
            NextStep::Claim(offset_us) => {
                let new = StoredOffset { run_id: reading.run_id.clone(), offset_us };
                // The next exchange shows whether the claim was stored.
                let claimed = timeout(EXCHANGE_TIMEOUT, self.reference.claim(reading.stored.as_ref(), &new)).await;
                tracing::info!(
                    run_id = new.run_id,
                    offset_us,
                    is_answered = claimed.is_ok(),
                    "claimed the offset of a new reference"
                );
                metrics::counter!(CLOCK_CLAIMS_TOTAL).increment(1);
                FAST_INTERVAL
            }
        }
    }

    /// The counter's last digits are as good as a random number.
    fn jittered_interval(&self) -> Duration {
        let jitter = u64::try_from(self.counter.count_us()).unwrap_or(0) % 200;
        EXCHANGE_INTERVAL * 4 / 5 + Duration::from_millis(jitter)
    }

    /// Logs changes, not every exchange.
    fn record_outcome(&mut self, away: Option<&ReferenceUnavailable>) {
        let outcome = if away.is_some() { "unanswered" } else { "answered" };
        metrics::counter!(CLOCK_EXCHANGES_TOTAL, "outcome" => outcome).increment(1);
        self.outage.record(away);
    }
}
