//! What the library is at on one connection, for the deadlines it does not keep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::time::Instant;

use super::admission::{Peer, RequestGuard};
use super::deadlines::ConnectionTimeouts;

/// Shared by the connection, its socket and its requests. Times are in milliseconds
/// since it began.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    /// Requests so far; after this many it begins again.
    requests: AtomicU32,
    under_way: AtomicU32,
    /// When the last request ended.
    idle_since: AtomicU64,
    /// Since when nothing could be written; 0 if something could.
    stalled_since: AtomicU64,
}

/// A request, until its answer is handed to the library as a whole.
#[derive(Debug)]
pub(super) struct Serving {
    activity: Activity,
    _under_way: RequestGuard,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// For its first request.
    First,
    /// For another request.
    Another,
    /// For its client to read.
    Reader,
    /// For nobody: it has something to do.
    Nothing,
}

impl Activity {
    pub(super) fn begin() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            requests: AtomicU32::new(0),
            under_way: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
        }))
    }

    pub(super) fn serve(&self, peer: &Arc<Peer>) -> Serving {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        Serving { activity: self.clone(), _under_way: RequestGuard::begin(peer) }
    }

    /// Notes whether something could be written.
    pub(super) fn wrote(&self, is_pending: bool) {
        if !is_pending {
            self.0.stalled_since.store(0, Ordering::Relaxed);
        } else if !self.is_stalled() {
            self.0.stalled_since.store(self.now().max(1), Ordering::Relaxed);
        }
    }

    /// Whether something could not be written yet.
    pub(super) fn is_stalled(&self) -> bool {
        self.0.stalled_since.load(Ordering::Relaxed) > 0
    }

    /// What it waits for, and until when; `idle` is how long for another request.
    pub(super) fn waits(
        &self,
        deadlines: &ConnectionTimeouts,
        idle: std::time::Duration,
    ) -> (Waiting, Option<Instant>) {
        let at = |ms: u64| self.0.began + std::time::Duration::from_millis(ms);
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        if self.is_stalled() {
            return (Waiting::Reader, Some(at(load(&self.0.stalled_since)) + deadlines.write));
        }
        if self.0.under_way.load(Ordering::Relaxed) > 0 {
            return (Waiting::Nothing, None);
        }
        if self.0.requests.load(Ordering::Relaxed) == 0 {
            return (Waiting::First, Some(self.0.began + deadlines.head));
        }
        (Waiting::Another, Some(at(load(&self.0.idle_since)) + idle))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let inner = &self.activity.0;
        inner.idle_since.store(self.activity.now(), Ordering::Relaxed);
        inner.under_way.fetch_sub(1, Ordering::Release);
    }
}
