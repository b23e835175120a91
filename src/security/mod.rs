//! The security log: what was refused, limited, revoked and changed, by whom and from where.
//!
//! Each event is a log line with the target `security`, and a row in the ledger where it belongs
//! to a tenant. Whoever notices one reports it and goes on: `security.record(event)`.

mod activity;
mod address;
mod batch;
mod event;
mod recorder;

use std::sync::Arc;

use tokio::sync::mpsc;

use self::activity::{Activity, ActivityKind};
pub use self::event::{EventKind, NoSecurity, Security, SecurityEvent};
pub use self::recorder::SecurityRecorder;
use crate::control::Current;
use crate::domain::principal::Principal;
use crate::ledger::Ledger;
use crate::store::Now;
use crate::telemetry::metrics;

/// The most events on their way to the recorder; more are shed and counted.
const MAX_QUEUED_EVENTS: usize = 4_096;

/// The log, for whoever reports.
pub struct SecurityLog {
    events: mpsc::Sender<SecurityEvent>,
    activity: Arc<Activity>,
}

impl SecurityLog {
    /// A log, and what records it.
    pub fn new(ledger: Arc<dyn Ledger>, settings: Current, now: Now) -> (Self, SecurityRecorder) {
        let (events, received) = mpsc::channel(MAX_QUEUED_EVENTS);
        let activity = Arc::new(Activity::default());
        let recorder = SecurityRecorder::new(received, Arc::clone(&activity), ledger, settings, now);
        (Self { events, activity }, recorder)
    }

    fn count(&self, event: &SecurityEvent) {
        let kind = match event.kind {
            EventKind::TokenRefused => ActivityKind::WrongTokens,
            EventKind::Forbidden | EventKind::Limited | EventKind::AddressDenied => ActivityKind::Refusals,
            EventKind::Replayed => ActivityKind::Replays,
            _ => return,
        };
        if let (Some(tenant), Some(subject)) = (&event.tenant, &event.subject) {
            self.activity.count_principal(kind, tenant, subject);
        }
        if let Some(address) = event.address {
            self.activity.count_address(kind, address);
        }
    }
}

impl Security for SecurityLog {
    fn record(&self, event: SecurityEvent) {
        self.count(&event);
        if self.events.try_send(event).is_err() {
            metrics::count_shed_security_events(1);
        }
    }

    fn count_command(&self, principal: &Principal) {
        self.activity.count_caller(ActivityKind::Commands, principal);
    }
}
