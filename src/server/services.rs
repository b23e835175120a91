//! The services that the instances of one process share: live sessions, the ledger, and the
//! tasks behind them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, now_from};
use crate::app::Retention;
use crate::app::administration::Administration;
use crate::app::dead_letters::DeadLetters;
use crate::app::deadlines::{Deadlines, HINT_CAPACITY};
use crate::app::readiness::Readiness;
use crate::app::sessions;
use crate::app::sessions::{DueHint, Sessions};
use crate::audit::heartbeat::Heartbeat;
use crate::clock::Clock;
use crate::config::{Audit, Config, Durable};
use crate::control::ControlPlane;
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::ledger;
use crate::ledger::Ledger;
use crate::limits::TenantLimits;
use crate::security::{Security, SecurityLog};
use crate::shutdown::Shutdown;
use crate::store::Store;

/// How often idle sessions are evicted.
const EVICTION_INTERVAL: Duration = Duration::from_secs(10);

/// The longest life of a token. Tokens may have any, so a revocation ends only when an
/// administrator takes it back.
const TOKEN_LIFE_MS: Option<i64> = None;

/// The services that the instances of one process share.
pub struct Services {
    /// Cluster time.
    pub clock: Arc<dyn Clock>,
    /// Timer sessions.
    pub sessions: Arc<Sessions>,
    /// Whether store and ledger answer.
    pub readiness: Arc<Readiness>,
    /// Settings and revocations in force.
    pub control: Arc<ControlPlane>,
    /// The security log.
    pub security: Arc<dyn Security>,
    /// What administrators do.
    pub administration: Arc<Administration>,
    /// The lasting record.
    pub ledger: Arc<dyn Ledger>,
    /// The store of live sessions.
    pub backend: Arc<Backend>,
    /// How much tenants may ask, by their settings.
    pub tenant_limits: Arc<dyn TenantLimits>,
    /// How long an idle session stays in the store.
    idle_ms: i64,
    /// Deadlines and housekeeping; stops once no request is under way.
    background: Shutdown,
    /// The audit; stops last, after the last commit.
    audit: Shutdown,
    audit_stop: CancellationToken,
}

impl Services {
    /// Puts the services together and starts the tasks behind them.
    pub fn start(
        config: &Config,
        clock: Arc<dyn Clock>,
        ledger: Arc<dyn Ledger>,
        mut backend: Backend,
        background: Shutdown,
    ) -> Self {
        let control = Arc::new(ControlPlane::new(Arc::clone(&ledger), backend.control.take(), now_from(&clock)));
        let (log, recorder) = SecurityLog::new(Arc::clone(&ledger), control.current().clone(), now_from(&clock));
        let security: Arc<dyn Security> = Arc::new(log);
        let (due_hints, hints) = mpsc::channel(HINT_CAPACITY);
        let retention = Retention { idle_ttl: config.session_idle_ttl, is_embedded: backend.embedded_since.is_some() };
        let sessions = Sessions::new(sessions::SessionsParts {
            store: Arc::clone(&backend.store),
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
            ids: Ids::Random,
            due_hints,
            audience: Arc::clone(&backend.audience),
            is_durable: config.durable == Durable::Always,
            least_advance: config.least_advance,
            idle: config.session_idle_ttl,
        });
        let sessions = sessions.with_retention(retention).with_write_format(backend.ownership.write_format());
        let sessions = Arc::new(sessions.with_control(control.current().clone(), Arc::clone(&security)));
        let needs_ledger = config.durable == Durable::Always;
        let readiness =
            Arc::new(Readiness::new(Arc::clone(&backend.store) as _, Arc::clone(&ledger) as _, needs_ledger));
        let (audit, audit_stop) = (Shutdown::new(), CancellationToken::new());
        let idle_ms = i64::try_from(config.session_idle_ttl.as_millis()).unwrap_or(i64::MAX);
        let backend = Arc::new(backend);
        let tenant_limits = Arc::new(control.current().clone());
        let administration = Arc::new(Administration {
            ledger: Arc::clone(&ledger),
            plane: Arc::clone(&control),
            security: Arc::clone(&security),
            ids: Ids::Random,
            token_life_ms: TOKEN_LIFE_MS,
        });
        audit.spawn("security log", recorder.run(audit_stop.clone()));
        let services = Self {
            clock,
            sessions,
            readiness,
            control,
            security,
            administration,
            ledger,
            backend,
            tenant_limits,
            idle_ms,
            background,
            audit,
            audit_stop,
        };
        if config.audit == Audit::InProcess {
            services.backend.audit(&services.ledger, &services.clock, &services.audit, &services.audit_stop);
        }
        services.start_control();
        services.start_stream_counts();
        services.start_heartbeat();
        services.start_readiness();
        services.start_deadlines(config, hints);
        services.start_dead_letters(config);
        services.start_eviction();
        services
    }

    /// Records that sessions live in this process from now on: if it is killed, the next one
    /// finds that it did not stop in order.
    pub async fn open_run(&self) -> Result<(), ledger::Error> {
        match self.backend.embedded_since {
            Some(started) => self.ledger.open_run(started).await,
            None => Ok(()),
        }
    }

    /// Live sessions.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.backend.store)
    }

    fn start_control(&self) {
        let control = Arc::clone(&self.control);
        self.background.spawn_until_stopped("control", async move { control.run().await });
    }

    fn start_stream_counts(&self) {
        let quota = Arc::clone(&self.backend.stream_quota);
        self.background.spawn_until_stopped("stream counts", async move { quota.run().await });
    }

    fn start_heartbeat(&self) {
        let (ledger, store, now) = (Arc::clone(&self.ledger), self.store(), now_from(&self.clock));
        let accepts_writes = self.readiness.ledger_accepts_writes();
        self.audit.spawn(
            "heartbeat",
            Heartbeat { ledger, store, now, ledger_accepts_writes: accepts_writes }.run(self.audit_stop.clone()),
        );
    }

    fn start_readiness(&self) {
        let readiness = Arc::clone(&self.readiness);
        self.background.spawn_until_stopped("readiness", async move { readiness.run().await });
    }

    fn start_deadlines(&self, config: &Config, hints: mpsc::Receiver<DueHint>) {
        let deadlines = || Deadlines {
            sessions: Arc::clone(&self.sessions),
            store: self.store(),
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock),
            ownership: self.backend.ownership.clone(),
            generation_changes: self.backend.generation_changes.clone(),
            max_uncertainty: config.max_uncertainty,
            poll_interval: config.timers.deadline_poll,
        };
        self.background.spawn_until_stopped("deadlines", deadlines().run(hints));
        self.background.spawn_until_stopped("sweep", deadlines().sweep());
    }

    fn start_dead_letters(&self, config: &Config) {
        let letters = DeadLetters {
            sessions: Arc::clone(&self.sessions),
            store: self.store(),
            ledger: Arc::clone(&self.ledger),
            ownership: self.backend.ownership.clone(),
            check_interval: config.timers.dead_letter_poll,
        };
        self.background.spawn_until_stopped("letters", letters.run());
    }

    /// Evicts sessions that have been idle for long; returns how many are left, if this process
    /// stores them.
    pub fn evict(&self) -> Option<usize> {
        self.backend.evict(self.clock.now() - self.idle_ms)
    }

    fn start_eviction(&self) {
        let (backend, clock, idle_ms) = (Arc::clone(&self.backend), Arc::clone(&self.clock), self.idle_ms);
        self.background.spawn_until_stopped("eviction", async move {
            let mut ticks = tokio::time::interval(EVICTION_INTERVAL);
            loop {
                ticks.tick().await;
                let left = backend.evict(clock.now() - idle_ms);
                tracing::trace!(sessions = left, "evicted idle sessions");
            }
        });
    }

    /// Stops the tasks, the audit last and drained, and closes the ledger.
    pub async fn finish(&self, within: Duration) {
        self.finish_since(self.clock.now(), within).await;
    }

    /// The same, if no client could reach the sessions of this process since `stopped`.
    pub async fn finish_since(&self, stopped: Timestamp, within: Duration) {
        self.background.finish(within).await;
        self.backend.leave().await;
        self.audit_stop.cancel();
        self.audit.finish(within).await;
        if self.backend.finish().await {
            self.close_run(stopped, within).await;
        }
        // A connection may be dead without having been closed.
        if tokio::time::timeout(within, self.ledger.close()).await.is_err() {
            tracing::warn!("the ledger does not close all connections");
        }
    }

    /// Records that nothing is lost: the next process finds that this one stopped in order.
    async fn close_run(&self, stopped: Timestamp, within: Duration) {
        let Some(started) = self.backend.embedded_since else { return };
        let closed = tokio::time::timeout(within, self.ledger.close_run(started, stopped.max(started))).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!("failed to record the stop: the next start treats it as an outage");
        }
    }

    /// The leftovers of a finish.
    pub async fn leftovers(&self) -> Leftovers {
        let stops = [vec![&self.background, &self.audit], self.backend.stops()].concat();
        Leftovers {
            running: stops.iter().flat_map(|stop| stop.running()).collect(),
            panics: stops.iter().map(|stop| stop.panics()).sum(),
            entries: self.backend.outbox.backlog().await.map_or(0, |backlog| backlog.entries),
        }
    }
}

/// The leftovers of a finish: none, if all went well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Tasks that still run.
    pub running: Vec<&'static str>,
    /// Tasks that ended in a panic.
    pub panics: usize,
    /// Audit entries the ledger does not hold.
    pub entries: u64,
}
