//! Records the entries of one outbox in the ledger, oldest first.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::Now;
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::jobs;
use crate::jobs::{BatchWork, Failure, RetryPolicy, Source};
use crate::ledger::{AuditSink, Error};
use crate::store;
use crate::store::LedgerProgress;
use crate::store::ledger_fence::Fence;
use crate::store::outbox::{Backlog, Outbox, OutboxEntry, OutboxError};
use crate::telemetry::metrics::{AUDIT_BACKLOG, AUDIT_JOBS_TOTAL, count_fork};
use crate::telemetry::outage::chain;

const LEDGER_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two updates of the backlog metric.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(1);

/// The consumer of an outbox.
pub struct Worker {
    outbox: Arc<dyn Outbox>,
    ledger: Arc<dyn AuditSink>,
    /// Keeps sessions whose newest version the ledger refuses.
    store: Option<Arc<dyn LedgerProgress>>,
    now: Now,
    policy: RetryPolicy,
    fence: Fence,
}

impl Worker {
    /// Records the entries of `outbox` in `ledger`.
    pub fn new(outbox: Arc<dyn Outbox>, ledger: Arc<dyn AuditSink>, now: Now) -> Self {
        Self { outbox, ledger, store: None, now, policy: RetryPolicy::default(), fence: Fence::default() }
    }

    /// With the store of the entries, which keeps sessions that the ledger refuses.
    pub fn with_store(self, store: Arc<dyn LedgerProgress>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Behind `fence`: while it is closed, entries stay in the outbox.
    pub fn with_fence(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// With another retry policy.
    pub fn with_retries(self, policy: RetryPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Works until `soft` is cancelled and the outbox is empty, or until `hard` is cancelled.
    /// Returns the rest. Cancel `soft` after the last writer to the outbox has ended.
    pub async fn run(self, soft: CancellationToken, hard: CancellationToken) -> Backlog {
        let policy = self.policy;
        let work = Arc::new(self);
        tokio::select! {
            () = jobs::run("audit", Arc::clone(&work), policy, &soft, &hard) => {}
            () = work.report_backlog() => {}
        }
        work.outbox.backlog().await.unwrap_or_default()
    }

    /// Only the store has that version, so it must not evict the session while it is the newest.
    async fn retain(&self, refused: &Entry) -> Result<(), Failure> {
        let Some(store) = &self.store else { return Ok(()) };
        match store.retain(&refused.key, refused.link.position).await {
            // A newer release wrote it and retains it.
            Ok(()) | Err(store::Error::Unreadable(_)) => Ok(()),
            Err(error) => Err(Failure::Unavailable(error.into())),
        }
    }

    /// While the ledger is down no jobs are read, but the backlog must be known.
    async fn report_backlog(&self) {
        let mut ticks = interval(BACKLOG_INTERVAL);
        loop {
            ticks.tick().await;
            // It fails only while the store is down.
            let _ = self.count_backlog().await;
        }
    }

    async fn count_backlog(&self) -> Result<(), Failure> {
        let backlog = self.outbox.backlog().await.map_err(retryable)?;
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats; the last bits do not matter")]
        metrics::gauge!(AUDIT_BACKLOG).set(backlog.entries as f64);
        Ok(())
    }
}

#[async_trait]
impl BatchWork for Worker {
    type Job = OutboxEntry;

    async fn next(&self, max: usize, limit: Duration) -> Result<Vec<OutboxEntry>, Failure> {
        if !self.fence.may_write() {
            // Entries wait in Redis; this is no failure to log.
            sleep(limit).await;
            return Ok(Vec::new());
        }
        let oldest = self.outbox.oldest(max, limit).await.map_err(retryable)?;
        self.count_backlog().await?;
        Ok(oldest)
    }

    async fn attempt(&self, jobs: &[OutboxEntry]) -> Result<(), Failure> {
        self.fence.check().map_err(|fenced| Failure::Unavailable(fenced.into()))?;
        let entries: Vec<Arc<Entry>> = jobs.iter().map(|job| Arc::clone(&job.entry)).collect();
        match with_timeout(self.ledger.record(&entries)).await {
            Ok(recorded) => {
                count("recorded", jobs.len());
                recorded.forks.iter().for_each(report_fork);
                Ok(())
            }
            Err(failure) => {
                let is_attempt = jobs.len() == 1 && matches!(failure, Failure::Refused(_));
                count("retried", usize::from(is_attempt));
                Err(failure)
            }
        }
    }

    async fn dead_letter(&self, job: &OutboxEntry, reason: &Source) -> Result<(), Failure> {
        let Entry { key, link, .. } = &*job.entry;
        with_timeout(self.ledger.add_dead_letter(&job.entry, &chain(&**reason), (self.now)())).await?;
        self.retain(&job.entry).await?;
        count("dead", 1);
        error!(
            tenant.id = %key.tenant, session.id = %key.session, version = %link.position,
            error = chain(&**reason), "the ledger refused an entry for good; it is a dead letter"
        );
        Ok(())
    }

    async fn done(&self, jobs: &[OutboxEntry]) -> Result<(), Failure> {
        self.outbox.acknowledge(jobs).await.map_err(retryable)?;
        self.count_backlog().await
    }
}

async fn with_timeout<T>(operation: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match timeout(LEDGER_TIMEOUT, operation).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::Refused(why))) => Err(Failure::Refused(why)),
        Ok(Err(Error::Unavailable(why))) => Err(Failure::Unavailable(why)),
        Ok(Err(why @ (Error::ReadOnly | Error::TooLong | Error::Busy))) => Err(Failure::Unavailable(why.into())),
        Err(elapsed) => Err(Failure::Unavailable(elapsed.into())),
    }
}

fn retryable(OutboxError(why): OutboxError) -> Failure {
    Failure::Unavailable(why)
}

fn count(outcome: &'static str, entries: usize) {
    metrics::counter!(AUDIT_JOBS_TOTAL, "outcome" => outcome).increment(entries as u64);
}

/// Two histories of one session: the ledger keeps both, and an operator should know.
fn report_fork(key: &SessionKey) {
    count_fork();
    error!(tenant.id = %key.tenant, session.id = %key.session, "fork: two links at one position");
}
