//! How many streams each subject has, here and everywhere.
//!
//! What is counted here is the truth. Others are told how many there are, never that
//! there is one more or one less: so it may be told again, and late, and who forgot
//! everything is told everything again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Turn;
use tokio::sync::Notify;
use tokio::time::interval;

use super::lease::Membership;
use super::member::Subject;
use super::{Away, Leases, STREAM_COUNT_TTL};

/// Subjects of one part are told about one after another; different parts at once.
const SHARDS: usize = 64;

/// So many subjects may wait to be told about; past it, of those without a stream it is
/// forgotten where it was told, in time.
const MAX_UNPUBLISHED: usize = 100_000;

/// So many subjects are told about at a time.
const MAX_BATCH: usize = 256;

/// What could not be told is told so often again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a stream is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum QuotaExceeded {
    /// The subject has as many as it may, here or elsewhere.
    #[error("there are as many streams as there may be")]
    Full,
    /// This instance is no member at this moment, so nobody knows.
    #[error("this instance holds no lease")]
    NoMember,
    /// Nobody could be asked.
    #[error("nobody could be asked how many streams there are")]
    Away(#[from] Away),
}

/// The streams of this instance, by subject.
pub struct StreamQuota {
    leases: Arc<dyn Leases>,
    membership: Arc<Membership>,
    counts: Mutex<Counts>,
    locks: [Turn<()>; SHARDS],
    changed: Notify,
}

#[derive(Default)]
struct Counts {
    held: HashMap<Subject, u32>,
    /// Others may believe something else of these.
    unpublished: BTreeSet<Subject>,
}

/// A stream that is counted, until this is dropped.
pub struct StreamPermit {
    places: Arc<StreamQuota>,
    subject: Subject,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.places.counts().less(self.subject);
        self.places.changed.notify_one();
    }
}

impl StreamQuota {
    /// No streams yet. They are told about while it runs.
    #[must_use]
    pub fn new(leases: Arc<dyn Leases>, membership: Arc<Membership>) -> Arc<Self> {
        let turns = std::array::from_fn(|_| Turn::default());
        Arc::new(Self { leases, membership, counts: Mutex::default(), locks: turns, changed: Notify::new() })
    }

    /// A place for one more stream, if the subject has fewer than `limit` everywhere.
    pub async fn acquire(self: &Arc<Self>, subject: Subject, limit: u32) -> Result<StreamPermit, QuotaExceeded> {
        let _turn = self.locks[subject.part()].lock().await;
        if !self.membership.is_member() {
            return Err(QuotaExceeded::NoMember);
        }
        let before = self.counts().of(subject);
        if before >= limit {
            return Err(QuotaExceeded::Full);
        }
        // Whatever becomes of the question, or of whoever asks it.
        self.counts().unpublished.insert(subject);
        let is_held = self.leases.try_acquire(self.membership.instance(), subject, before + 1, limit).await?;
        self.counts().acquired(subject, before, is_held);
        if is_held { Ok(self.permit(subject)) } else { Err(QuotaExceeded::Full) }
    }

    /// A place without asking: for when nobody can be asked, and nobody is to be sent
    /// away for that. It is told later.
    #[must_use]
    pub fn acquire_unchecked(self: &Arc<Self>, subject: Subject) -> StreamPermit {
        let mut counts = self.counts();
        counts.more(subject);
        counts.unpublished.insert(subject);
        drop(counts);
        self.permit(subject)
    }

    /// Tells others what they do not know; runs until it is dropped.
    pub async fn run(&self) {
        let (mut restarts, mut every) = (self.membership.restarts(), interval(STREAM_COUNT_TTL / 3));
        let mut again = interval(RETRY_INTERVAL);
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                _ = again.tick() => {}
                _ = every.tick() => self.counts().mark_all_unpublished(),
                Ok(()) = restarts.changed() => self.counts().mark_all_unpublished(),
            }
            if self.membership.is_member()
                && let Err(away) = self.publish_all().await
            {
                tracing::debug!(error = &away as &dyn std::error::Error, "streams are not told about yet");
            }
        }
    }

    async fn publish_all(&self) -> Result<(), Away> {
        let untold: Vec<_> = self.counts().unpublished.iter().copied().collect();
        for (part, turn) in self.locks.iter().enumerate() {
            let some: Vec<_> = untold.iter().copied().filter(|subject| subject.part() == part).collect();
            for batch in some.chunks(MAX_BATCH) {
                let _turn = turn.lock().await;
                self.publish_batch(batch).await?;
            }
        }
        Ok(())
    }

    async fn publish_batch(&self, subjects: &[Subject]) -> Result<(), Away> {
        let told = self.counts().of_each(subjects);
        self.leases.publish(self.membership.instance(), &told).await?;
        let mut counts = self.counts();
        for (subject, count) in told {
            counts.published(subject, count);
        }
        Ok(())
    }

    fn permit(self: &Arc<Self>, subject: Subject) -> StreamPermit {
        StreamPermit { places: Arc::clone(self), subject }
    }

    /// A panic elsewhere cannot leave it half changed: nothing in here panics in between.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn of(&self, subject: Subject) -> u32 {
        self.held.get(&subject).copied().unwrap_or(0)
    }

    fn of_each(&self, subjects: &[Subject]) -> Vec<(Subject, u32)> {
        subjects.iter().map(|subject| (*subject, self.of(*subject))).collect()
    }

    fn more(&mut self, subject: Subject) {
        *self.held.entry(subject).or_default() += 1;
    }

    fn less(&mut self, subject: Subject) {
        let left = self.of(subject).saturating_sub(1);
        if left == 0 {
            self.held.remove(&subject);
        } else {
            self.held.insert(subject, left);
        }
        if left > 0 || self.unpublished.len() < MAX_UNPUBLISHED {
            self.unpublished.insert(subject);
        }
    }

    fn acquired(&mut self, subject: Subject, before: u32, is_held: bool) {
        if is_held {
            self.more(subject);
        }
        self.published(subject, before + u32::from(is_held));
    }

    /// Others believe there are `count`; it may have changed meanwhile.
    fn published(&mut self, subject: Subject, count: u32) {
        if self.of(subject) == count {
            self.unpublished.remove(&subject);
        }
    }

    fn mark_all_unpublished(&mut self) {
        self.unpublished.extend(self.held.keys());
    }
}
