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

use super::member::Subject;
use super::membership::Membership;
use super::{Away, Leases, TOLD_FOR};

/// Subjects of one part are told about one after another; different parts at once.
const PARTS: usize = 64;

/// So many subjects may wait to be told about; past it, of those without a stream it is
/// forgotten where it was told, in time.
const MAX_UNTOLD: usize = 100_000;

/// So many subjects are told about at a time.
const BATCH: usize = 256;

/// What could not be told is told so often again.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a stream is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum NoPlace {
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
pub struct Places {
    leases: Arc<dyn Leases>,
    membership: Arc<Membership>,
    counts: Mutex<Counts>,
    turns: [Turn<()>; PARTS],
    changed: Notify,
}

#[derive(Default)]
struct Counts {
    held: HashMap<Subject, u32>,
    /// Others may believe something else of these.
    untold: BTreeSet<Subject>,
}

/// A stream that is counted, until this is dropped.
pub struct Place {
    places: Arc<Places>,
    subject: Subject,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.counts().less(self.subject);
        self.places.changed.notify_one();
    }
}

impl Places {
    /// No streams yet. They are told about while it runs.
    #[must_use]
    pub fn new(leases: Arc<dyn Leases>, membership: Arc<Membership>) -> Arc<Self> {
        let turns = std::array::from_fn(|_| Turn::default());
        Arc::new(Self { leases, membership, counts: Mutex::default(), turns, changed: Notify::new() })
    }

    /// A place for one more stream, if the subject has fewer than `limit` everywhere.
    pub async fn enter(self: &Arc<Self>, subject: Subject, limit: u32) -> Result<Place, NoPlace> {
        let _turn = self.turns[subject.part()].lock().await;
        if !self.membership.is_member() {
            return Err(NoPlace::NoMember);
        }
        let before = self.counts().of(subject);
        if before >= limit {
            return Err(NoPlace::Full);
        }
        // Whatever becomes of the question, or of whoever asks it.
        self.counts().untold.insert(subject);
        let is_held = self.leases.hold(self.membership.instance(), subject, before + 1, limit).await?;
        self.counts().answered(subject, before, is_held);
        if is_held { Ok(self.place(subject)) } else { Err(NoPlace::Full) }
    }

    /// A place without asking: for when nobody can be asked, and nobody is to be sent
    /// away for that. It is told later.
    #[must_use]
    pub fn admit(self: &Arc<Self>, subject: Subject) -> Place {
        let mut counts = self.counts();
        counts.more(subject);
        counts.untold.insert(subject);
        drop(counts);
        self.place(subject)
    }

    /// Tells others what they do not know; runs until it is dropped.
    pub async fn run(&self) {
        let (mut restarts, mut every) = (self.membership.restarts(), interval(TOLD_FOR / 3));
        let mut again = interval(AGAIN);
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                _ = again.tick() => {}
                _ = every.tick() => self.counts().doubt_all(),
                Ok(()) = restarts.changed() => self.counts().doubt_all(),
            }
            if self.membership.is_member()
                && let Err(away) = self.tell_all().await
            {
                tracing::debug!(error = &away as &dyn std::error::Error, "streams are not told about yet");
            }
        }
    }

    async fn tell_all(&self) -> Result<(), Away> {
        let untold: Vec<_> = self.counts().untold.iter().copied().collect();
        for (part, turn) in self.turns.iter().enumerate() {
            let some: Vec<_> = untold.iter().copied().filter(|subject| subject.part() == part).collect();
            for batch in some.chunks(BATCH) {
                let _turn = turn.lock().await;
                self.tell(batch).await?;
            }
        }
        Ok(())
    }

    async fn tell(&self, subjects: &[Subject]) -> Result<(), Away> {
        let told = self.counts().of_each(subjects);
        self.leases.tell(self.membership.instance(), &told).await?;
        let mut counts = self.counts();
        for (subject, count) in told {
            counts.told(subject, count);
        }
        Ok(())
    }

    fn place(self: &Arc<Self>, subject: Subject) -> Place {
        Place { places: Arc::clone(self), subject }
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
        if left > 0 || self.untold.len() < MAX_UNTOLD {
            self.untold.insert(subject);
        }
    }

    fn answered(&mut self, subject: Subject, before: u32, is_held: bool) {
        if is_held {
            self.more(subject);
        }
        self.told(subject, before + u32::from(is_held));
    }

    /// Others believe there are `count`; it may have changed meanwhile.
    fn told(&mut self, subject: Subject, count: u32) {
        if self.of(subject) == count {
            self.untold.remove(&subject);
        }
    }

    fn doubt_all(&mut self) {
        self.untold.extend(self.held.keys());
    }
}
