//! Takes entries out of one outbox, oldest first, and brings them into the ledger.

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
use crate::jobs::{Failure, RetryPolicy, Source, Work};
use crate::ledger::{Error, Ledger};
use crate::store;
use crate::store::Store;
use crate::store::fence::Fence;
use crate::store::outbox::{Backlog, Outbox, OutboxEntry, Unavailable};
use crate::telemetry::metrics::{AUDIT_BACKLOG, AUDIT_JOBS_TOTAL, count_fork};
use crate::telemetry::outage::chain;

/// A ledger that takes longer than this does not answer.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(30);

/// What waits is told so often, whatever becomes of it.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(1);

/// The one consumer of an outbox.
pub struct Worker {
    outbox: Arc<dyn Outbox>,
    ledger: Arc<dyn Ledger>,
    /// Where sessions stay whose newest version the ledger refuses.
    store: Option<Arc<dyn Store>>,
    now: Now,
    pace: RetryPolicy,
    fence: Fence,
}

impl Worker {
    /// Brings what `outbox` holds into `ledger`.
    #[must_use]
    pub fn new(outbox: Arc<dyn Outbox>, ledger: Arc<dyn Ledger>, now: Now) -> Self {
        Self { outbox, ledger, store: None, now, pace: RetryPolicy::default(), fence: Fence::default() }
    }

    /// With the store that the entries come from: it keeps what the ledger refuses.
    #[must_use]
    pub fn with_store(self, store: Arc<dyn Store>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Behind `fence`: while that is closed, everything waits where it is.
    #[must_use]
    pub fn with_fence(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// With another pace.
    #[must_use]
    pub fn with_retries(self, pace: RetryPolicy) -> Self {
        Self { pace, ..self }
    }

    /// Works until `soft` is cancelled and the outbox is empty, or until `hard`
    /// is. Gives what is left. Cancel `soft` after the last who appends has ended.
    pub async fn run(self, soft: CancellationToken, hard: CancellationToken) -> Backlog {
        let pace = self.pace;
        let work = Arc::new(self);
        tokio::select! {
            () = jobs::run("audit", Arc::clone(&work), pace, &soft, &hard) => {}
            () = work.report_backlog() => {}
        }
        work.outbox.backlog().await.unwrap_or_default()
    }

    /// Nobody else holds that version, so its session is not let go of while it is the newest.
    async fn keep(&self, refused: &Entry) -> Result<(), Failure> {
        let Some(store) = &self.store else { return Ok(()) };
        match store.retain(&refused.key, refused.link.position).await {
            // Written by a newer release, which looks after it.
            Ok(()) | Err(store::Error::Unreadable(_)) => Ok(()),
            Err(error) => Err(Failure::Unanswered(error.into())),
        }
    }

    /// While the ledger takes nothing nobody asks for more, and that is when it must be known what waits.
    async fn report_backlog(&self) {
        let mut every = interval(BACKLOG_INTERVAL);
        loop {
            every.tick().await;
            // Where that cannot be told, the store is away.
            let _ = self.count_backlog().await;
        }
    }

    async fn count_backlog(&self) -> Result<(), Failure> {
        let backlog = self.outbox.backlog().await.map_err(retryable)?;
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats; nobody counts on the last bit")]
        metrics::gauge!(AUDIT_BACKLOG).set(backlog.entries as f64);
        Ok(())
    }
}

#[async_trait]
impl Work for Worker {
    type Job = OutboxEntry;

    async fn next(&self, max: usize, patience: Duration) -> Result<Vec<OutboxEntry>, Failure> {
        if !self.fence.may_write() {
            // All waits in Redis, without a word each time.
            sleep(patience).await;
            return Ok(Vec::new());
        }
        let oldest = self.outbox.oldest(max, patience).await.map_err(retryable)?;
        self.count_backlog().await?;
        Ok(oldest)
    }

    async fn attempt(&self, jobs: &[OutboxEntry]) -> Result<(), Failure> {
        self.fence.check().map_err(|fenced| Failure::Unanswered(fenced.into()))?;
        let entries: Vec<Arc<Entry>> = jobs.iter().map(|job| Arc::clone(&job.entry)).collect();
        match with_timeout(self.ledger.record(&entries)).await {
            Ok(recorded) => {
                count("recorded", jobs.len());
                recorded.forks.iter().for_each(report_fork);
                Ok(())
            }
            Err(failure) => {
                let is_try = jobs.len() == 1 && matches!(failure, Failure::Refused(_));
                count("retried", usize::from(is_try));
                Err(failure)
            }
        }
    }

    async fn dead_letter(&self, job: &OutboxEntry, reason: &Source) -> Result<(), Failure> {
        let Entry { key, link, .. } = &*job.entry;
        with_timeout(self.ledger.add_dead_letter(&job.entry, &chain(&**reason), (self.now)())).await?;
        self.keep(&job.entry).await?;
        count("dead", 1);
        error!(
            tenant.id = %key.tenant, session.id = %key.session, version = %link.position,
            error = chain(&**reason), "an entry is refused for good and put aside"
        );
        Ok(())
    }

    async fn done(&self, jobs: &[OutboxEntry]) -> Result<(), Failure> {
        self.outbox.acknowledge(jobs).await.map_err(retryable)?;
        self.count_backlog().await
    }
}

/// Who does not answer in time does not answer.
async fn with_timeout<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match timeout(LEDGER_TIMEOUT, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::Refused(why))) => Err(Failure::Refused(why)),
        Ok(Err(Error::Unavailable(why))) => Err(Failure::Unanswered(why)),
        Ok(Err(why @ (Error::ReadOnly | Error::TooLong | Error::Busy))) => Err(Failure::Unanswered(why.into())),
        Err(elapsed) => Err(Failure::Unanswered(elapsed.into())),
    }
}

fn retryable(Unavailable(why): Unavailable) -> Failure {
    Failure::Unanswered(why)
}

fn count(outcome: &'static str, entries: usize) {
    metrics::counter!(AUDIT_JOBS_TOTAL, "outcome" => outcome).increment(entries as u64);
}

/// Two histories of one session: both are kept, and somebody should know.
fn report_fork(key: &SessionKey) {
    count_fork();
    error!(tenant.id = %key.tenant, session.id = %key.session, "fork: two links at one position");
}
