//! The store of an instance, over its link to the server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use synckairos::domain::chain::Digest;
use synckairos::domain::id::SessionKey;
use synckairos::domain::idempotency::IdempotencyRecord;
use synckairos::domain::position::Position;
use synckairos::domain::time::Timestamp;
use synckairos::store::outbox::EntryId;
use synckairos::store::partition::{Partition, Partitions};
use synckairos::store::{Commit, Committed, Error, LedgerProgress, Now, SessionStore, StoredSession};
use tokio::sync::watch;
use tokio::time::sleep;

use super::generations::{Generations, away};
use super::image::{Generation, Word};
use super::server::{Flaw, Server};
use crate::simulation::link::{Failure, Link};
use crate::simulation::record::Event;

/// A write is sent so many times at most, as the real one is.
const MAX_ATTEMPTS: usize = 4;

/// Between two questions of who waits for the ledger.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// Sessions in the simulated Redis.
pub struct SimulatedStore {
    generations: Generations,
    /// What a build that trusts itself remembers.
    trusted: Mutex<BTreeMap<SessionKey, StoredSession>>,
}

impl SimulatedStore {
    pub fn new(server: Server, link: Link, now: Now) -> Self {
        Self { generations: Generations::new(server, link, now), trusted: Mutex::default() }
    }

    /// One of the two that count new generations.
    pub fn new_generations(&self, which: usize) -> watch::Receiver<u64> {
        self.generations.noticed(which)
    }

    async fn waiting(&self, partition: Partition) -> Result<Option<(EntryId, EntryId)>, Failure> {
        let ends = self.generations.ask(partition, move |state, generation| {
            let named = |number: &(u64, u64)| EntryId {
                partition: Some(partition),
                generation: generation.number,
                number: *number,
            };
            let outbox = &state.image.partitions[&partition].outbox;
            outbox.keys().next().map(named).zip(outbox.keys().next_back().map(named))
        });
        Ok(ends.await?.0)
    }

    fn learn(&self, key: &SessionKey, held: &StoredSession) {
        if self.generations.server().flaw() == Flaw::TrustsItself {
            self.trusted.lock().unwrap().insert(key.clone(), held.clone());
        }
    }

    fn trusted(&self, key: &SessionKey) -> Option<StoredSession> {
        self.trusted.lock().unwrap().get(key).cloned()
    }
}

/// Why a write may have happened: in which generation that was.
type Doubt = Option<Generation>;

fn given_up(doubt: &Doubt, failure: Failure) -> Error {
    match (doubt, failure) {
        (None, Failure::Undone) => away(failure),
        (Some(_), _) | (None, Failure::Unknown) => Error::Unknown(format!("{failure:?}").into()),
    }
}

fn decided(commit: &Commit, word: Word, generation: &Generation, doubt: &Doubt) -> Result<Committed, Error> {
    let is_stored = matches!(word, Word::Stored(_));
    // What may have happened in a generation that is over may be lost, or in the ledger.
    if !is_stored && doubt.as_ref().is_some_and(|then| then != generation) {
        return Err(Error::Unknown("a write of a generation that is over".into()));
    }
    Ok(match word {
        Word::Stored(ticket) => {
            let (session, head) = (Arc::clone(&commit.session), commit.entry.link.digest());
            Committed::Stored(StoredSession { session, head, entry_id: Some(ticket), needs_restore: false })
        }
        Word::Stale(held) => Committed::Stale(held),
        Word::Repeated(answered, held) => Committed::Repeated(answered, held),
        Word::Missing => Committed::Missing,
    })
}

#[async_trait]
impl SessionStore for SimulatedStore {
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        if let Some(held) = self.trusted(key) {
            return Ok(Some(held));
        }
        let (asked, partition) = (key.clone(), Partition::of(key));
        let read = self
            .generations
            .ask(partition, move |state, generation| state.image.partition(&asked).held(&asked, generation));
        let (held, _) = read.await.map_err(away)?;
        if let Some(held) = &held {
            self.learn(key, held);
        }
        Ok(held)
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        let (partition, mut doubt) = (Partition::of(&commit.key), None);
        for _ in 0..MAX_ATTEMPTS {
            let generation = self.generations.of(partition).await.map_err(|failure| given_up(&doubt, failure))?;
            if commit.base.is_none() && doubt.as_ref().is_some_and(|then| *then != generation) {
                return Err(given_up(&doubt, Failure::Undone));
            }
            let write = commit.clone();
            match self
                .generations
                .ask_in(&generation, partition, move |state, generation| state.commit(&write, generation))
                .await
            {
                Ok(Some(word)) => {
                    let committed = decided(&commit, word, &generation, &doubt)?;
                    match &committed {
                        Committed::Stored(held) | Committed::Stale(held) => self.learn(&commit.key, held),
                        Committed::Missing => drop(self.trusted.lock().unwrap().remove(&commit.key)),
                        Committed::Repeated(..) => {}
                    }
                    return Ok(committed);
                }
                Ok(None) if commit.base.is_none() => return Err(given_up(&doubt, Failure::Undone)),
                Ok(None) => {}
                Err(Failure::Unknown) if doubt.is_none() => doubt = Some(generation),
                Err(failure) => return Err(given_up(&doubt, failure)),
            }
        }
        Err(given_up(&doubt, Failure::Undone))
    }

    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        held: StoredSession,
        answered: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error> {
        let (asked, partition) = (key.clone(), Partition::of(key));
        let restored = self.generations.ask(partition, move |state, generation| {
            let now = state.now();
            if state.image.partition(&asked).restore(&asked, over, &held, &answered, generation, now) {
                let session = Arc::clone(&held.session);
                state.restored(Event::Restored { key: asked.clone(), over, session });
                return held;
            }
            state.image.partition(&asked).held(&asked, generation).unwrap()
        });
        let (held, _) = restored.await.map_err(away)?;
        self.learn(key, &held);
        Ok(held)
    }

    async fn due(
        &self,
        partitions: Partitions,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, SessionKey)>, Error> {
        let due = self.generations.ask_of(partitions, move |state, partition, _| -> Vec<_> {
            let due = state.image.partitions[&partition].due.iter();
            due.take_while(|(at, _)| *at <= until).take(limit).cloned().collect()
        });
        let mut due = due.await.map_err(away)?.concat();
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    async fn idempotency_record(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<IdempotencyRecord>, Error> {
        let (key, repeat) = (key.clone(), *repeat);
        let asked = self.generations.ask_anything(move |state| state.image.partition(&key).answer(&key, &repeat));
        asked.await.map_err(away)
    }

    async fn remember_answer(&self, key: &SessionKey, answered: IdempotencyRecord) -> Result<IdempotencyRecord, Error> {
        let key = key.clone();
        let asked = self.generations.ask_anything(move |state| state.image.partition(&key).remember(&key, answered));
        asked.await.map_err(away)
    }

    async fn generation_started_at(&self, key: &SessionKey) -> Result<Timestamp, Error> {
        Ok(self.generations.of(Partition::of(key)).await.map_err(away)?.began)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.generations.ask_anything(|_| ()).await.map_err(away)
    }
}

#[async_trait]
impl LedgerProgress for SimulatedStore {
    /// Nothing is let go of here for having been idle.
    async fn retain(&self, _: &SessionKey, _: Position) -> Result<(), Error> {
        Ok(())
    }

    async fn release(&self, _: &SessionKey, _: Position) -> Result<(), Error> {
        Ok(())
    }

    async fn outbox_tail(&self, key: &SessionKey) -> Result<Option<EntryId>, Error> {
        Ok(self.waiting(Partition::of(key)).await.map_err(away)?.map(|(_, last)| last))
    }

    async fn wait_recorded(&self, ticket: EntryId) -> Result<(), Error> {
        let Some(partition) = ticket.partition else { return Ok(()) };
        loop {
            let first = self.waiting(partition).await.map_err(away)?.map(|(first, _)| first);
            if self.generations.of(partition).await.map_err(away)?.number != ticket.generation {
                return Err(Error::Unknown("the store generation it was written in has ended".into()));
            }
            if first.is_none_or(|first| first > ticket) {
                return Ok(());
            }
            sleep(RETRY_DELAY).await;
        }
    }

    async fn wait_for_ledger(&self) {}
}
