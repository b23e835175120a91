//! Brings security events to the log and to the ledger, and watches who leaves its usual range.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, ActivityKind, Actor, Anomaly, UsualRange};
use super::batch::{CountedEvent, EventBatch};
use super::event::{EventKind, SecurityEvent};
use crate::control::Current;
use crate::domain::setting::{
    ANOMALIES, ANOMALY_COMMAND_FLOOR, ANOMALY_EXEMPT_SUBJECTS, ANOMALY_FACTOR, ANOMALY_FLOOR, TenantSettings,
};
use crate::ids::Ids;
use crate::ledger::Ledger;
use crate::ledger::control::SecurityRow;
use crate::store::Now;
use crate::telemetry::metrics;
use crate::telemetry::outage::{OutageLog, OutageTracker};

/// Between two writes: within it, repeats are a count.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// The windows in which activity is counted, in writes.
const WINDOW_TICKS: u32 = 10;

/// Between two deletions of old events, in writes: an hour.
const FORGET_TICKS: u32 = 3_600;

/// How long an event is kept: ninety days.
const RETENTION_MS: i64 = 90 * 24 * 3_600_000;

/// The most events that wait for the ledger; past that, the oldest are in the log alone.
const MAX_WAITING_ROWS: usize = 10_000;

/// The most rows of one transaction.
const MAX_BATCH_ROWS: usize = 500;

/// How long the last write may take while the instance stops.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

static OUTAGE: OutageLog =
    OutageLog::new("security events", "security events wait for the ledger", "security events are recorded again");

/// Brings events to the log and the ledger.
pub struct SecurityRecorder {
    pub(super) events: mpsc::Receiver<SecurityEvent>,
    pub(super) activity: Arc<Activity>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) settings: Current,
    pub(super) now: Now,
    batch: EventBatch,
    /// Events that the ledger does not hold yet.
    waiting: VecDeque<SecurityRow>,
    ticks: u32,
}

impl SecurityRecorder {
    pub(super) fn new(
        events: mpsc::Receiver<SecurityEvent>,
        activity: Arc<Activity>,
        ledger: Arc<dyn Ledger>,
        settings: Current,
        now: Now,
    ) -> Self {
        let (batch, waiting) = (EventBatch::default(), VecDeque::new());
        Self { events, activity, ledger, settings, now, batch, waiting, ticks: 0 }
    }

    /// Records until `stop`, and then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut outage = OutageTracker::of(&OUTAGE);
        let mut ticks = interval(WRITE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = self.events.recv() => self.add(event),
                _ = ticks.tick() => self.tick(&mut outage).await,
                () = stop.cancelled() => break,
            }
        }
        while let Ok(event) = self.events.try_recv() {
            self.add(event);
        }
        self.log();
        let _ = timeout(LAST_WRITE_TIMEOUT, self.write(&mut outage)).await;
    }

    fn add(&mut self, event: SecurityEvent) {
        if !self.batch.add(event, (self.now)()) {
            metrics::count_shed_security_events(1);
        }
    }

    async fn tick(&mut self, outage: &mut OutageTracker<'_>) {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(WINDOW_TICKS) {
            self.find_anomalies();
        }
        self.log();
        self.write(outage).await;
        if self.ticks % FORGET_TICKS == 1 {
            // The next hour tries again.
            let _ = self.ledger.forget_security_events((self.now)() - RETENTION_MS).await;
        }
    }

    fn find_anomalies(&mut self) {
        let settings = self.settings.clone();
        let found = self.activity.end_window(|actor, kind| match actor {
            Actor::Principal { tenant, subject } => settings.settings(tenant, |set| range(set, kind, Some(subject))),
            Actor::Address(_) => range(&TenantSettings::new(), kind, None),
        });
        metrics::set_cache_entries("activity", self.activity.len());
        for anomaly in found {
            metrics::count_anomaly(anomaly.kind.as_str());
            self.add(event(&anomaly));
        }
    }

    /// One line for each event; those of a tenant become rows.
    fn log(&mut self) {
        for counted in self.batch.take() {
            let CountedEvent { event, at, times } = counted;
            let SecurityEvent { kind, tenant, subject, address, detail } = event;
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            let subject = subject.unwrap_or_default();
            metrics::count_security_events(kind.as_str(), times);
            tracing::info!(
                target: "security",
                kind = kind.as_str(),
                tenant.id = tenant.as_ref().map_or("", |tenant| tenant.as_str()),
                subject = subject.as_str(),
                address = address.as_str(),
                detail = detail.as_str(),
                times,
                "security event"
            );
            let Some(tenant) = tenant else { continue };
            let (id, kind) = (Ids::Random.uuid(at).to_string(), kind.as_str().to_owned());
            self.waiting.push_back(SecurityRow { tenant, id, at, kind, subject, address, detail, times });
        }
        let shed = self.waiting.len().saturating_sub(MAX_WAITING_ROWS);
        self.waiting.drain(..shed);
        metrics::count_shed_security_events(shed as u64);
    }

    async fn write(&mut self, outage: &mut OutageTracker<'_>) {
        while !self.waiting.is_empty() {
            let rows = self.waiting.len().min(MAX_BATCH_ROWS);
            let written = self.ledger.add_security_events(&self.waiting.make_contiguous()[..rows]).await;
            outage.record(written.as_ref().err());
            if written.is_err() {
                break;
            }
            self.waiting.drain(..rows);
        }
    }
}

/// What is usual by a tenant's settings; none for whoever is exempt.
#[expect(clippy::cast_precision_loss, reason = "the settings are far smaller")]
fn range(settings: &TenantSettings, kind: ActivityKind, subject: Option<&String>) -> Option<UsualRange> {
    let is_exempt = subject.is_some_and(|subject| settings.texts(&ANOMALY_EXEMPT_SUBJECTS).contains(subject));
    if is_exempt || !settings.flag(&ANOMALIES) {
        return None;
    }
    let floor = if kind == ActivityKind::Commands { &ANOMALY_COMMAND_FLOOR } else { &ANOMALY_FLOOR };
    Some(UsualRange { floor: settings.number(floor) as f32, factor: settings.number(&ANOMALY_FACTOR) as f32 })
}

fn event(anomaly: &Anomaly) -> SecurityEvent {
    let Anomaly { actor, kind, per_minute, usual } = anomaly;
    let detail = format!("{} in the last minute: {per_minute}, usually {usual:.0}", kind.as_str());
    let event = SecurityEvent::of(EventKind::Anomaly).detail(detail);
    match actor.clone() {
        Actor::Principal { tenant, subject } => SecurityEvent { tenant: Some(tenant), subject: Some(subject), ..event },
        Actor::Address(address) => event.from(Some(address)),
    }
}
