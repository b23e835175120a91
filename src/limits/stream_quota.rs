//! The quota of streams: each subject's count, on this instance and everywhere.
//!
//! Local counts are authoritative. Instances publish totals, never deltas: so a publication
//! may repeat or come late, and after a loss all of it is published again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::Notify;
use tokio::time::interval;

use crate::membership::{LeaseError, Leases, Membership, STREAM_COUNT_TTL, Subject};

/// Subjects of one shard are published one after another, different shards concurrently.
const SHARD_COUNT: usize = 64;

/// Subjects that may wait to be published. Past it, counts of zero are not published, and
/// the earlier ones end with their TTL.
const MAX_UNPUBLISHED: usize = 100_000;

/// Subjects of one publication.
const MAX_BATCH_SUBJECTS: usize = 256;

/// Between two attempts to publish.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a stream is refused.
#[derive(Debug, thiserror::Error)]
pub enum QuotaExceeded {
    /// The subject has as many streams as it may, over all instances.
    #[error("there are as many streams as there may be")]
    Full,
    /// This instance holds no valid lease, so the count is unknown.
    #[error("this instance holds no lease")]
    NoMember,
    /// The leases cannot be reached, so the count is unknown.
    #[error("failed to count the streams of all instances")]
    Leases(#[from] LeaseError),
}

/// The streams of this instance, by subject.
pub struct StreamQuota {
    /// `None` where one process has all streams.
    shared: Option<(Arc<dyn Leases>, Arc<Membership>)>,
    counts: Mutex<Counts>,
    locks: [AsyncMutex<()>; SHARD_COUNT],
    changed: Notify,
}

#[derive(Default)]
struct Counts {
    by_subject: HashMap<Subject, u32>,
    /// Subjects whose published count may be wrong.
    unpublished: BTreeSet<Subject>,
}

/// A counted stream; dropping it ends the count.
pub struct StreamPermit {
    quota: Arc<StreamQuota>,
    subject: Subject,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.quota.counts.lock().decrement(self.subject, self.quota.shared.is_some());
        self.quota.changed.notify_one();
    }
}

impl StreamQuota {
    /// No streams yet. Counts are published while it [runs](Self::run).
    pub fn new(leases: Arc<dyn Leases>, membership: Arc<Membership>) -> Arc<Self> {
        Self::over(Some((leases, membership)))
    }

    /// The same where this process has all streams: its own counts are all there are.
    pub fn of_one_process() -> Arc<Self> {
        Self::over(None)
    }

    fn over(shared: Option<(Arc<dyn Leases>, Arc<Membership>)>) -> Arc<Self> {
        let locks = std::array::from_fn(|_| AsyncMutex::default());
        Arc::new(Self { shared, counts: Mutex::default(), locks, changed: Notify::new() })
    }

    /// How many subjects have streams here.
    pub fn len(&self) -> usize {
        self.counts.lock().by_subject.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts one more stream, if the subject has fewer than `limit` everywhere.
    pub async fn acquire(self: &Arc<Self>, subject: Subject, limit: u32) -> Result<StreamPermit, QuotaExceeded> {
        let Some((leases, membership)) = &self.shared else { return self.acquire_here(subject, limit) };
        let _lock = self.locks[subject.shard()].lock().await;
        if !membership.is_member() {
            return Err(QuotaExceeded::NoMember);
        }
        let before = self.counts.lock().of(subject);
        if before >= limit {
            return Err(QuotaExceeded::Full);
        }
        // First, as the request may fail or be dropped.
        self.counts.lock().unpublished.insert(subject);
        let is_within = leases.try_acquire(membership.instance(), subject, before + 1, limit).await?;
        self.counts.lock().acquired(subject, before, is_within);
        if is_within { Ok(self.permit(subject)) } else { Err(QuotaExceeded::Full) }
    }

    fn acquire_here(self: &Arc<Self>, subject: Subject, limit: u32) -> Result<StreamPermit, QuotaExceeded> {
        let mut counts = self.counts.lock();
        if counts.of(subject) >= limit {
            return Err(QuotaExceeded::Full);
        }
        counts.increment(subject);
        drop(counts);
        Ok(self.permit(subject))
    }

    /// Counts one more stream without a check, for callers that must not fail while the
    /// leases are away. It is published later.
    pub fn acquire_unchecked(self: &Arc<Self>, subject: Subject) -> StreamPermit {
        let mut counts = self.counts.lock();
        counts.increment(subject);
        if self.shared.is_some() {
            counts.unpublished.insert(subject);
        }
        drop(counts);
        self.permit(subject)
    }

    /// Publishes changed counts; runs until it is dropped.
    pub async fn run(&self) {
        let Some((leases, membership)) = &self.shared else { return std::future::pending().await };
        let (mut restarts, mut refreshes) = (membership.restarts(), interval(STREAM_COUNT_TTL / 3));
        let mut retries = interval(RETRY_INTERVAL);
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                _ = retries.tick() => {}
                _ = refreshes.tick() => self.counts.lock().mark_all_unpublished(),
                Ok(()) = restarts.changed() => self.counts.lock().mark_all_unpublished(),
            }
            if membership.is_member()
                && let Err(away) = self.publish_all(&**leases, membership).await
            {
                tracing::debug!(error = &away as &dyn std::error::Error, "counts of streams are not published yet");
            }
        }
    }

    async fn publish_all(&self, leases: &dyn Leases, membership: &Membership) -> Result<(), LeaseError> {
        let unpublished: Vec<_> = self.counts.lock().unpublished.iter().copied().collect();
        for (shard, lock) in self.locks.iter().enumerate() {
            let subjects: Vec<_> = unpublished.iter().copied().filter(|subject| subject.shard() == shard).collect();
            for batch in subjects.chunks(MAX_BATCH_SUBJECTS) {
                let _lock = lock.lock().await;
                self.publish_batch(leases, membership, batch).await?;
            }
        }
        Ok(())
    }

    async fn publish_batch(
        &self,
        leases: &dyn Leases,
        membership: &Membership,
        subjects: &[Subject],
    ) -> Result<(), LeaseError> {
        let published = self.counts.lock().of_each(subjects);
        leases.publish(membership.instance(), &published).await?;
        let mut counts = self.counts.lock();
        for (subject, count) in published {
            counts.published(subject, count);
        }
        Ok(())
    }

    fn permit(self: &Arc<Self>, subject: Subject) -> StreamPermit {
        StreamPermit { quota: Arc::clone(self), subject }
    }
}

impl Counts {
    fn of(&self, subject: Subject) -> u32 {
        self.by_subject.get(&subject).copied().unwrap_or(0)
    }

    fn of_each(&self, subjects: &[Subject]) -> Vec<(Subject, u32)> {
        subjects.iter().map(|subject| (*subject, self.of(*subject))).collect()
    }

    fn increment(&mut self, subject: Subject) {
        *self.by_subject.entry(subject).or_default() += 1;
    }

    fn decrement(&mut self, subject: Subject, is_published: bool) {
        let left = self.of(subject).saturating_sub(1);
        if left == 0 {
            self.by_subject.remove(&subject);
        } else {
            self.by_subject.insert(subject, left);
        }
        if is_published && (left > 0 || self.unpublished.len() < MAX_UNPUBLISHED) {
            self.unpublished.insert(subject);
        }
    }

    fn acquired(&mut self, subject: Subject, before: u32, is_within: bool) {
        if is_within {
            self.increment(subject);
        }
        self.published(subject, before + u32::from(is_within));
    }

    /// The published count is `count`; the local one may have changed meanwhile.
    fn published(&mut self, subject: Subject, count: u32) {
        if self.of(subject) == count {
            self.unpublished.remove(&subject);
        }
    }

    fn mark_all_unpublished(&mut self) {
        self.unpublished.extend(self.by_subject.keys());
    }
}
