//! What the instances of one process share: store, bus, ledger, and the tasks behind them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::app::deadlines::{Deadlines, SOON_CAPACITY};
use crate::app::sessions;
use crate::app::sessions::{Sessions, Soon};
use crate::audit::worker::Worker;
use crate::audit::{Now, heartbeat};
use crate::bus::Message;
use crate::bus::memory::MemoryHub;
use crate::clock::{Clock, DISCIPLINE_EVERY, SystemClock};
use crate::config::{Config, Durable};
use crate::domain::session::restore::Absence;
use crate::ids::Ids;
use crate::ledger::Ledger;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::outbox::{MemoryOutbox, Outbox as _};

/// How often idle sessions are let go.
const EVICT_EVERY: Duration = Duration::from_secs(10);

/// What the instances of one process share.
pub struct Parts {
    /// Where now comes from.
    pub clock: Arc<dyn Clock>,
    /// Where instances hear of each other's writes.
    pub hub: MemoryHub,
    /// Timer sessions.
    pub sessions: Arc<Sessions>,
    /// The lasting record.
    pub ledger: Arc<dyn Ledger>,
    store: Arc<MemoryStore>,
    outbox: Arc<MemoryOutbox>,
    /// How long an idle session stays in the store.
    idle_ms: i64,
    /// Deadlines and housekeeping; stops once no request is under way.
    back: Shutdown,
    /// The audit; stops last, when nobody appends any more.
    audit: Shutdown,
    audit_stop: CancellationToken,
}

impl Parts {
    /// Puts the parts together and starts the tasks behind them.
    pub async fn start(
        config: &Config,
        clock: Arc<dyn Clock>,
        ledger: Arc<dyn Ledger>,
        back: Shutdown,
    ) -> Result<Self, Error> {
        let absence = ledger.last_beat().await?.map(|from| Absence { from, until: clock.now() });
        let outbox_bytes = usize::try_from(config.outbox_max_bytes).unwrap_or(usize::MAX);
        let outbox = Arc::new(MemoryOutbox::new(outbox_bytes));
        let hub = MemoryHub::default();
        let announced = hub.clone();
        let announce = move |key, position, frames| announced.announce(&Message { key, position, frames });
        let store = Arc::new(MemoryStore::new(Box::new(announce), Arc::clone(&outbox)));
        let (soon, hints) = mpsc::channel(SOON_CAPACITY);
        let sessions = Arc::new(Sessions::new(sessions::Parts {
            store: Arc::clone(&store) as _,
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
            ids: Ids::Random,
            soon,
            absence,
            is_durable: config.durable == Durable::Always,
        }));
        let (audit, audit_stop) = (Shutdown::new(), CancellationToken::new());
        let idle_ms = i64::try_from(config.session_idle_ttl.as_millis()).unwrap_or(i64::MAX);
        let parts = Self { clock, hub, sessions, ledger, store, outbox, idle_ms, back, audit, audit_stop };
        parts.start_audit();
        parts.start_deadlines(config.spans.deadline_poll, hints);
        parts.start_eviction();
        Ok(parts)
    }

    /// Live sessions.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as _
    }

    fn start_audit(&self) {
        let clock = Arc::clone(&self.clock);
        let now: Now = Arc::new(move || clock.now());
        let worker = Worker::new(Arc::clone(&self.outbox) as _, Arc::clone(&self.ledger), Arc::clone(&now));
        let (soft, hard) = (self.audit_stop.clone(), CancellationToken::new());
        self.audit.spawn("audit", async move {
            let left = worker.run(soft, hard).await;
            if left.entries > 0 {
                tracing::error!(entries = left.entries, "stopped before the ledger held everything");
            }
        });
        let beat = heartbeat::run(Arc::clone(&self.ledger), now, self.audit_stop.clone());
        self.audit.spawn("heartbeat", beat);
    }

    fn start_deadlines(&self, poll: Duration, hints: mpsc::Receiver<Soon>) {
        let deadlines = || Deadlines {
            sessions: Arc::clone(&self.sessions),
            store: self.store(),
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock),
            poll,
        };
        self.until_stopped("deadlines", deadlines().run(hints));
        self.until_stopped("sweep", Arc::new(deadlines()).sweep());
    }

    /// Lets go of sessions that have been idle for long; gives how many are left.
    #[must_use]
    pub fn evict(&self) -> usize {
        self.store.evict(self.clock.now() - self.idle_ms)
    }

    fn start_eviction(&self) {
        let (store, clock, idle_ms) = (Arc::clone(&self.store), Arc::clone(&self.clock), self.idle_ms);
        self.until_stopped("eviction", async move {
            let mut every = tokio::time::interval(EVICT_EVERY);
            loop {
                every.tick().await;
                let left = store.evict(clock.now() - idle_ms);
                tracing::trace!(sessions = left, "let go of what was idle");
            }
        });
    }

    fn until_stopped(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.back.soft();
        self.back.spawn(name, async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Stops the tasks, the audit last and drained, and lets go of the ledger.
    pub async fn finish(&self, within: Duration) {
        self.back.finish(within).await;
        self.audit_stop.cancel();
        self.audit.finish(within).await;
        self.ledger.close().await;
    }

    /// What a finish has left over.
    pub async fn leftovers(&self) -> Leftovers {
        let stops = [&self.back, &self.audit];
        Leftovers {
            running: stops.iter().flat_map(|stop| stop.running()).collect(),
            panics: stops.map(Shutdown::panics).iter().sum(),
            // The outbox of one process always answers.
            entries: self.outbox.backlog().await.map_or(0, |backlog| backlog.entries),
        }
    }
}

/// What a finish has left over: nothing, if all went well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Tasks that still run.
    pub running: Vec<&'static str>,
    /// Tasks that ended in a panic.
    pub panics: usize,
    /// Audit entries the ledger does not hold.
    pub entries: u64,
}

/// Keeps the clock on the host's calendar clock; runs until it is dropped.
pub(super) async fn discipline(clock: &SystemClock) {
    let mut every = tokio::time::interval(DISCIPLINE_EVERY);
    loop {
        every.tick().await;
        clock.discipline();
    }
}
