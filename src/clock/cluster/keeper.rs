//! Asks the reference again and again, and moves the clock by what it learns.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::ClusterClock;
use super::discipline::{Discipline, Exchange, Next, Settings};
use super::line::Shared;
use super::reference::{Away, Reference, Stored, Told};
use crate::clock::counter::{Counter, HostCounter};
use crate::telemetry::metrics::{CLOCK_CLAIMS_TOTAL, CLOCK_EXCHANGES_TOTAL, clock_uncertain};
use crate::telemetry::outage::{Asker, Outage};

/// Between two exchanges, give or take a fifth: instances that started together part.
const EVERY: Duration = Duration::from_millis(500);

/// The same, while too little is known.
const BRISK: Duration = Duration::from_millis(20);

/// The same, while the reference is away.
const AWAY: Duration = Duration::from_millis(100);

/// An exchange that takes longer tells nothing worth knowing.
const PATIENCE: Duration = Duration::from_millis(500);

static UNFOLLOWED: Outage = Outage::new("clock", "cluster time is held over", "cluster time is followed again");

/// Keeps a clock on the reference, while it runs.
pub struct Keeper<C = HostCounter> {
    asking: Asking<C>,
    clock: Arc<ClusterClock<C>>,
}

struct Asking<C> {
    counter: C,
    reference: Arc<dyn Reference>,
    discipline: Discipline,
    asker: Asker<'static>,
}

impl<C: Counter> Keeper<C> {
    pub(super) async fn start(
        counter: C,
        reference: Arc<dyn Reference>,
        settings: Settings,
    ) -> (Arc<ClusterClock<C>>, Self) {
        let discipline = Discipline::new(settings);
        let mut asking = Asking { counter: counter.clone(), reference, discipline, asker: Asker::of(&UNFOLLOWED) };
        let line = loop {
            let pause = asking.ask().await;
            match asking.discipline.line() {
                Some(line) => break line,
                None => sleep(pause).await,
            }
        };
        let newest_us = AtomicI64::new(i64::MIN);
        let clock = Arc::new(ClusterClock { counter, line: Shared::new(line), newest_us });
        (Arc::clone(&clock), Self { asking, clock })
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            let pause = self.asking.ask().await;
            if let Some(line) = self.asking.discipline.line() {
                self.clock.line.set(line);
                clock_uncertain(line.uncertainty(self.asking.counter.count_us()));
            }
            sleep(pause).await;
        }
    }
}

impl<C: Counter> Asking<C> {
    /// Asks once; gives when to ask again.
    async fn ask(&mut self) -> Duration {
        match self.exchange().await {
            Ok(exchange) => {
                self.tell(None);
                let next = self.discipline.take(&exchange);
                self.follow(next, &exchange.told).await
            }
            Err(away) => {
                self.tell(Some(&away));
                AWAY
            }
        }
    }

    async fn exchange(&self) -> Result<Exchange, Away> {
        let sent = self.counter.count_us();
        let told = timeout(PATIENCE, self.reference.exchange()).await.map_err(|late| Away(late.into()))??;
        Ok(Exchange { sent, received: self.counter.count_us(), told })
    }

    async fn follow(&self, next: Next, told: &Told) -> Duration {
        match next {
            Next::Follow => self.spread(),
            Next::Gather => BRISK,
            Next::Claim(offset_us) => {
                let new = Stored { run_id: told.run_id.clone(), offset_us };
                // Whatever came of it, the next exchange shows.
                let claimed = timeout(PATIENCE, self.reference.claim(told.stored.as_ref(), &new)).await;
                tracing::info!(run_id = new.run_id, offset_us, is_answered = claimed.is_ok(), "cluster time goes on");
                metrics::counter!(CLOCK_CLAIMS_TOTAL).increment(1);
                BRISK
            }
        }
    }

    /// The counter's last digits are as good as any dice.
    fn spread(&self) -> Duration {
        let dice = u64::try_from(self.counter.count_us()).unwrap_or(0) % 200;
        EVERY * 4 / 5 + Duration::from_millis(dice)
    }

    /// Logs changes, not every try.
    fn tell(&mut self, why: Option<&Away>) {
        let outcome = if why.is_some() { "unanswered" } else { "answered" };
        metrics::counter!(CLOCK_EXCHANGES_TOTAL, "outcome" => outcome).increment(1);
        self.asker.came(why);
    }
}
