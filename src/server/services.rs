//! What the instances of one process share: live sessions, the ledger, and the tasks
//! behind them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, now_from};
use crate::app::Retention;
use crate::app::dead_letters::DeadLetters;
use crate::app::deadlines::{Deadlines, HINT_CAPACITY};
use crate::app::readiness::Readiness;
use crate::app::sessions;
use crate::app::sessions::{DueHint, Sessions};
use crate::audit::heartbeat::Heartbeat;
use crate::clock::Clock;
use crate::config::{Audit, Config, Durable};
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::ledger;
use crate::ledger::Ledger;
use crate::shutdown::Shutdown;
use crate::store::Store;

/// How often idle sessions are let go.
const EVICTION_INTERVAL: Duration = Duration::from_secs(10);

/// What the instances of one process share.
pub struct Services {
    /// Where now comes from.
    pub clock: Arc<dyn Clock>,
    /// Timer sessions.
    pub sessions: Arc<Sessions>,
    /// What answers.
    pub readiness: Arc<Readiness>,
    /// The lasting record.
    pub ledger: Arc<dyn Ledger>,
    /// Where sessions live.
    pub live: Arc<Backend>,
    /// How long an idle session stays in the store.
    idle_ms: i64,
    /// Deadlines and housekeeping; stops once no request is under way.
    back: Shutdown,
    /// The audit; stops last, when nobody appends any more.
    audit: Shutdown,
    audit_stop: CancellationToken,
}

impl Services {
    /// Puts the parts together and starts the tasks behind them.
    #[must_use]
    pub fn start(
        config: &Config,
        clock: Arc<dyn Clock>,
        ledger: Arc<dyn Ledger>,
        live: Backend,
        back: Shutdown,
    ) -> Self {
        let (soon, hints) = mpsc::channel(HINT_CAPACITY);
        let retention = Retention { idle_ttl: config.session_idle_ttl, is_embedded: live.embedded_since.is_some() };
        let sessions = Sessions::new(sessions::SessionsParts {
            store: Arc::clone(&live.store),
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
            ids: Ids::Random,
            due_hints: soon,
            audience: Arc::clone(&live.audience),
            is_durable: config.durable == Durable::Always,
            least_advance: config.least_advance,
            idle: config.session_idle_ttl,
        });
        let sessions = Arc::new(sessions.with_retention(retention));
        let needs_ledger = config.durable == Durable::Always;
        let readiness = Arc::new(Readiness::new(Arc::clone(&live.store), Arc::clone(&ledger), needs_ledger));
        let (audit, audit_stop) = (Shutdown::new(), CancellationToken::new());
        let idle_ms = i64::try_from(config.session_idle_ttl.as_millis()).unwrap_or(i64::MAX);
        let parts = Self { clock, sessions, readiness, ledger, live: Arc::new(live), idle_ms, back, audit, audit_stop };
        if config.audit == Audit::InProcess {
            parts.live.audit(&parts.ledger, &parts.clock, &parts.audit, &parts.audit_stop);
        }
        parts.start_heartbeat();
        parts.start_readiness();
        parts.start_deadlines(config, hints);
        parts.start_dead_letters(config);
        parts.start_eviction();
        parts
    }

    /// Notes that sessions live in this process from now on: should it be killed, the next
    /// one finds that it did not stop in order.
    pub async fn open_run(&self) -> Result<(), ledger::Error> {
        match self.live.embedded_since {
            Some(began) => self.ledger.open_run(began).await,
            None => Ok(()),
        }
    }

    /// Live sessions.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.live.store)
    }

    fn start_heartbeat(&self) {
        let (ledger, store, now) = (Arc::clone(&self.ledger), self.store(), now_from(&self.clock));
        let is_taken = self.readiness.ledger_accepts_writes();
        self.audit.spawn(
            "heartbeat",
            Heartbeat { ledger, store, now, ledger_accepts_writes: is_taken }.run(self.audit_stop.clone()),
        );
    }

    fn start_readiness(&self) {
        let readiness = Arc::clone(&self.readiness);
        self.back.spawn_until_stopped("readiness", async move { readiness.run().await });
    }

    fn start_deadlines(&self, config: &Config, hints: mpsc::Receiver<DueHint>) {
        let deadlines = || Deadlines {
            sessions: Arc::clone(&self.sessions),
            store: self.store(),
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock),
            duties: self.live.duties.clone(),
            generation_changes: self.live.generation_changes.clone(),
            max_uncertainty: config.max_uncertainty,
            poll: config.timers.deadline_poll,
        };
        self.back.spawn_until_stopped("deadlines", deadlines().run(hints));
        self.back.spawn_until_stopped("sweep", deadlines().sweep());
    }

    fn start_dead_letters(&self, config: &Config) {
        let letters = DeadLetters {
            sessions: Arc::clone(&self.sessions),
            store: self.store(),
            ledger: Arc::clone(&self.ledger),
            duties: self.live.duties.clone(),
            every: config.timers.dead_letter_poll,
        };
        self.back.spawn_until_stopped("letters", letters.run());
    }

    /// Lets go of sessions that have been idle for long; gives how many are left, where
    /// that is for this process to see to.
    #[must_use]
    pub fn evict(&self) -> Option<usize> {
        self.live.evict(self.clock.now() - self.idle_ms)
    }

    fn start_eviction(&self) {
        let (live, clock, idle_ms) = (Arc::clone(&self.live), Arc::clone(&self.clock), self.idle_ms);
        self.back.spawn_until_stopped("eviction", async move {
            let mut every = tokio::time::interval(EVICTION_INTERVAL);
            loop {
                every.tick().await;
                let left = live.evict(clock.now() - idle_ms);
                tracing::trace!(sessions = left, "let go of what was idle");
            }
        });
    }

    /// Stops the tasks, the audit last and drained, and lets go of the ledger.
    pub async fn finish(&self, within: Duration) {
        self.finish_since(self.clock.now(), within).await;
    }

    /// The same, where nobody could act on what is held here since `stopped`.
    pub async fn finish_since(&self, stopped: Timestamp, within: Duration) {
        self.back.finish(within).await;
        self.live.leave().await;
        self.audit_stop.cancel();
        self.audit.finish(within).await;
        if self.live.finish().await {
            self.close_run(stopped, within).await;
        }
        // A connection that is dead without a word may still be waited for.
        if tokio::time::timeout(within, self.ledger.close()).await.is_err() {
            tracing::warn!("the ledger does not let go of all connections");
        }
    }

    /// Nothing is lost with this process: the next one finds that it stopped in order.
    async fn close_run(&self, stopped: Timestamp, within: Duration) {
        let Some(began) = self.live.embedded_since else { return };
        let closed = tokio::time::timeout(within, self.ledger.close_run(began, stopped.max(began))).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!("the ledger does not know of the stop: the next start takes it for an outage");
        }
    }

    /// What a finish has left over.
    pub async fn leftovers(&self) -> Leftovers {
        let stops = [vec![&self.back, &self.audit], self.live.stops()].concat();
        Leftovers {
            running: stops.iter().flat_map(|stop| stop.running()).collect(),
            panics: stops.iter().map(|stop| stop.panics()).sum(),
            entries: self.live.outbox.backlog().await.map_or(0, |backlog| backlog.entries),
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
