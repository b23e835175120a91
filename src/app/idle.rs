//! Whether anybody is there while a session advances by itself.
//!
//! The session says when a caller last acted. The bus is asked for subscribers, on any
//! instance, only a few times within the span after which a session counts as idle.

use std::sync::Arc;

use crate::bus::Audience;
use crate::domain::id::SessionKey;
use crate::domain::session::Session;
use crate::domain::session::event::Change;
use crate::domain::time::Timestamp;

/// How often subscribers are checked within the span that makes a session idle.
const CHECKS_PER_IDLE_TIME: i64 = 8;

/// Checks whether a session is idle.
pub(super) struct IdleCheck {
    audience: Arc<dyn Audience>,
    idle_ms: i64,
}

impl IdleCheck {
    pub fn new(audience: Arc<dyn Audience>, idle_ms: i64) -> Self {
        Self { audience, idle_ms }
    }

    /// The change that settles what is due by `now`. Where subscribers cannot be checked, the
    /// session does not count as idle.
    pub async fn settled(&self, key: &SessionKey, session: &Session, now: Timestamp) -> Change {
        let Some(attended) = session.attended().filter(|at| self.is_check_due(*at, session.updated_at, now)) else {
            return session.settled(now);
        };
        match self.audience.has_subscribers(key).await {
            Ok(true) => session.settled_attended(now),
            Ok(false) if now.since(attended) >= self.idle_ms => session.settled_idle(now),
            _ => session.settled(now),
        }
    }

    /// Whether a check is due that was not due at the version before.
    fn is_check_due(&self, attended: Timestamp, before: Timestamp, now: Timestamp) -> bool {
        let every = (self.idle_ms / CHECKS_PER_IDLE_TIME).max(1);
        now.since(attended) / every > before.since(attended) / every
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::memory::MemoryHub;

    fn checks(idle_check: &IdleCheck, times: &[i64]) -> Vec<i64> {
        let at = Timestamp::from_ms;
        let is_check = |pair: &&[i64]| idle_check.is_check_due(at(0), at(pair[0]), at(pair[1]));
        times.windows(2).filter(is_check).map(|pair| pair[1]).collect()
    }

    #[test]
    fn subscribers_are_checked_eight_times_in_an_idle_span() {
        let idle_check = IdleCheck::new(Arc::new(MemoryHub::default()), 3_600_000);
        let every_second: Vec<_> = (0..=3_600).map(|second| second * 1_000).collect();
        let eighths: Vec<_> = (1..=8).map(|eighth| eighth * 450_000).collect();
        assert_eq!(checks(&idle_check, &every_second), eighths);
        // One cycle may be longer than all of it.
        assert_eq!(checks(&idle_check, &[0, 9_000_000, 18_000_000]), [9_000_000, 18_000_000]);
    }
}
