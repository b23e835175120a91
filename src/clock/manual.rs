//! A clock that stands still until a test moves it.

use async_trait::async_trait;
use tokio::sync::watch;

use super::Clock;
use crate::domain::time::Timestamp;

/// Time as its owner sets it.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
}

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self { now: watch::channel(at).0 }
    }

    /// Moves on; wakes the callers that sleep until then.
    pub fn advance_ms(&self, ms: i64) {
        self.now.send_modify(|now| *now = *now + ms.max(0));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.now.borrow().as_ms() * 1_000
    }

    fn uncertainty_ms(&self) -> f64 {
        0.0
    }

    fn source(&self) -> &'static str {
        "manual"
    }

    async fn sleep_until(&self, at: Timestamp) {
        // Cannot fail: the sender is ours.
        let _ = self.now.subscribe().wait_for(|now| *now >= at).await;
    }
}
