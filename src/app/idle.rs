//! Whether anybody is there while a session advances by itself.
//!
//! Who acts is known from the session. Who watches, from any instance, is asked for a few
//! times in the span after which a session counts as idle, and never otherwise.

use std::sync::Arc;

use crate::bus::Audience;
use crate::domain::id::SessionKey;
use crate::domain::session::Session;
use crate::domain::session::event::Change;
use crate::domain::time::Timestamp;

/// So often is asked whether anybody watches, within the span that makes a session idle.
const CHECKS_PER_IDLE_TIME: i64 = 8;

/// Knows who is there.
pub(super) struct IdleCheck {
    audience: Arc<dyn Audience>,
    idle_ms: i64,
}

impl IdleCheck {
    pub fn new(audience: Arc<dyn Audience>, idle_ms: i64) -> Self {
        Self { audience, idle_ms }
    }

    /// The change that what had to happen by `now` makes, by whether anybody is there.
    /// Where that cannot be learned, somebody may be.
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

    /// Whether a look is due that was not due at the version before.
    fn is_check_due(&self, attended: Timestamp, before: Timestamp, now: Timestamp) -> bool {
        let every = (self.idle_ms / CHECKS_PER_IDLE_TIME).max(1);
        now.since(attended) / every > before.since(attended) / every
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::memory::MemoryHub;

    fn looks(attendance: &IdleCheck, times: &[i64]) -> Vec<i64> {
        let at = Timestamp::from_ms;
        let is_look = |pair: &&[i64]| attendance.is_check_due(at(0), at(pair[0]), at(pair[1]));
        times.windows(2).filter(is_look).map(|pair| pair[1]).collect()
    }

    #[test]
    fn eight_looks_are_taken_in_an_idle_span() {
        let attendance = IdleCheck::new(Arc::new(MemoryHub::default()), 3_600_000);
        let every_second: Vec<_> = (0..=3_600).map(|second| second * 1_000).collect();
        let eighths: Vec<_> = (1..=8).map(|eighth| eighth * 450_000).collect();
        assert_eq!(looks(&attendance, &every_second), eighths);
        // One cycle may be longer than all of it.
        assert_eq!(looks(&attendance, &[0, 9_000_000, 18_000_000]), [9_000_000, 18_000_000]);
    }
}
