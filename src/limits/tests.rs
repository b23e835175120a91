//! Limits by class, quotas of tenants, and the quota of streams.

mod rates;
mod stream_quota;
mod tenant_quota;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::TimeSource;
use crate::domain::id::TenantId;
use crate::domain::principal::{Principal, Provenance, Role};

/// Time that a test moves.
#[derive(Clone, Default)]
pub(super) struct TestTime(Arc<AtomicU64>);

impl TestTime {
    pub(super) fn now(&self) -> TimeSource {
        let ms = Arc::clone(&self.0);
        // As far from zero as cluster time is.
        Arc::new(move || Duration::from_millis(1_767_225_600_000 + ms.load(Ordering::Relaxed)))
    }

    pub(super) fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

pub(super) fn principal(tenant: &str, subject: &str) -> Principal {
    Principal {
        tenant: TenantId::new(tenant).unwrap(),
        subject: subject.to_owned(),
        role: Role::Operator,
        participant_id: None,
        sessions: None,
        locations: None,
        expires_at: None,
        provenance: Provenance::default(),
    }
}
