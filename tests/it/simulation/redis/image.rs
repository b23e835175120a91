//! What the server holds, and its scripts: each happens in one step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use synckairos::domain::chain::Digest;
use synckairos::domain::entry::Entry;
use synckairos::domain::id::SessionKey;
use synckairos::domain::idempotency::IdempotencyRecord;
use synckairos::domain::position::Position;
use synckairos::domain::session::{Session, Status};
use synckairos::domain::time::Timestamp;
use synckairos::store::outbox::{EntryId, OutboxEntry};
use synckairos::store::partition::Partition;
use synckairos::store::{Commit, Operation, StoredSession};

/// A partition's store generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub number: u64,
    pub began: Timestamp,
    /// The process of this generation.
    pub run: u64,
}

/// What a script says, if the generation it named is current.
#[derive(Debug)]
pub enum Word {
    Stored(EntryId),
    Stale(StoredSession),
    Missing,
    Repeated(IdempotencyRecord, StoredSession),
}

/// Everything there is.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pub partitions: BTreeMap<Partition, PartitionImage>,
    tickets: u64,
}

/// What is kept of a partition.
#[derive(Debug, Clone, Default)]
pub struct PartitionImage {
    pub generation: Option<Generation>,
    pub states: BTreeMap<SessionKey, State>,
    pub due: BTreeSet<(Timestamp, SessionKey)>,
    pub outbox: BTreeMap<(u64, u64), Arc<Entry>>,
    operations: BTreeMap<SessionKey, BTreeMap<Operation, EntryId>>,
    answers: BTreeMap<SessionKey, BTreeMap<Digest, IdempotencyRecord>>,
}

/// A stored session.
#[derive(Debug, Clone)]
pub struct State {
    pub session: Arc<Session>,
    head: Digest,
    ticket: Option<EntryId>,
    generation: u64,
    /// Since when it has been idle, as far as letting go goes.
    since: Timestamp,
}

/// Which comparison a flawed script leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lapses {
    pub compares_nothing: bool,
    pub knows_no_operations: bool,
}

impl Image {
    pub fn partition(&mut self, key: &SessionKey) -> &mut PartitionImage {
        self.partitions.entry(Partition::of(key)).or_default()
    }

    pub fn position(&self, key: &SessionKey) -> Option<Position> {
        let kept = self.partitions.get(&Partition::of(key))?;
        kept.states.get(key).map(|state| state.session.position)
    }

    /// A place in the outbox that nothing has had.
    pub fn next_ticket(&mut self, now: Timestamp) -> (u64, u64) {
        self.tickets += 1;
        (u64::try_from(now.as_ms()).unwrap(), self.tickets)
    }

    pub fn keys(&self) -> Vec<SessionKey> {
        self.partitions.values().flat_map(|kept| kept.states.keys().cloned()).collect()
    }
}

impl PartitionImage {
    /// The generation of this process; a new one if the last belonged to another process.
    pub fn live(&mut self, run: u64, began: Timestamp, true_now: Timestamp) -> Generation {
        if let Some(generation) = self.generation.as_ref().filter(|generation| generation.run == run) {
            return generation.clone();
        }
        let by_time = u64::try_from(true_now.as_ms()).unwrap() * 1_000;
        let before = self.generation.as_ref().map_or(0, |generation| generation.number);
        let generation = Generation { number: by_time.max(before + 1), began, run };
        self.generation = Some(generation.clone());
        generation
    }

    pub fn held(&self, key: &SessionKey, generation: &Generation) -> Option<StoredSession> {
        self.states.get(key).map(|state| StoredSession {
            session: Arc::clone(&state.session),
            head: state.head,
            entry_id: state.ticket,
            needs_restore: state.generation != generation.number,
        })
    }

    /// Why a write does not happen; none, if it may.
    pub fn declined(&self, commit: &Commit, generation: &Generation, lapses: Lapses) -> Option<Word> {
        let Some(held) = self.held(&commit.key, generation) else {
            return commit.base.map(|_| Word::Missing);
        };
        let answer = commit.entry.idempotency.and_then(|repeat| self.answer(&commit.key, &repeat.key));
        let is_stale = commit.base != Some(held.session.position) || held.needs_restore;
        let is_stale = is_stale && !lapses.compares_nothing;
        if answer.is_none() && !is_stale {
            return None;
        }
        let done = self.operations.get(&commit.key).and_then(|done| done.get(&commit.operation));
        Some(match (done.filter(|_| !lapses.knows_no_operations), answer) {
            (Some(ticket), _) => Word::Stored(EntryId { generation: generation.number, ..*ticket }),
            (None, Some(answer)) => Word::Repeated(answer, held),
            (None, None) => Word::Stale(held),
        })
    }

    pub fn write(&mut self, commit: &Commit, generation: &Generation, number: (u64, u64), now: Timestamp) -> EntryId {
        let Commit { operation, key, session, entry, .. } = commit;
        let ticket = EntryId { partition: Some(Partition::of(key)), generation: generation.number, number };
        self.outbox.insert(number, Arc::clone(entry));
        if let Some(idempotency) = entry.idempotency {
            let (position, at, change) = (session.position, session.updated_at, entry.change.clone());
            let answers = self.answers.entry(key.clone()).or_default();
            answers.insert(idempotency.key, IdempotencyRecord { key: idempotency, position, at, change });
        }
        self.operations.entry(key.clone()).or_default().insert(*operation, ticket);
        let head = entry.link.digest();
        self.hold(
            key,
            State {
                session: Arc::clone(session),
                head,
                ticket: Some(ticket),
                generation: generation.number,
                since: now,
            },
        );
        ticket
    }

    fn hold(&mut self, key: &SessionKey, state: State) {
        self.due.retain(|(_, other)| other != key);
        if let Some(at) = state.session.due_at {
            self.due.insert((at, key.clone()));
        }
        self.states.insert(key.clone(), state);
    }

    /// What an idempotency key was answered with.
    pub fn answer(&self, key: &SessionKey, repeat: &Digest) -> Option<IdempotencyRecord> {
        self.answers.get(key)?.get(repeat).cloned()
    }

    /// The answer that stands: the first.
    pub fn remember(&mut self, key: &SessionKey, answered: IdempotencyRecord) -> IdempotencyRecord {
        self.answers.entry(key.clone()).or_default().entry(answered.key.key).or_insert(answered).clone()
    }

    /// Whether the session was taken back.
    pub fn restore(
        &mut self,
        key: &SessionKey,
        over: Option<Position>,
        held: &StoredSession,
        answered: &[IdempotencyRecord],
        generation: &Generation,
        now: Timestamp,
    ) -> bool {
        if let Some(state) = self.states.get(key)
            && (state.generation == generation.number || Some(state.session.position) != over)
        {
            return false;
        }
        let (session, head) = (Arc::clone(&held.session), held.head);
        self.hold(key, State { session, head, ticket: None, generation: generation.number, since: now });
        let answers = self.answers.entry(key.clone()).or_default();
        answers.extend(answered.iter().map(|each| (each.key.key, each.clone())));
        true
    }

    /// The oldest that wait for the ledger.
    pub fn oldest(&self, partition: Partition, generation: &Generation, max: usize) -> Vec<OutboxEntry> {
        let named = |number| EntryId { partition: Some(partition), generation: generation.number, number };
        let oldest = self.outbox.iter().take(max);
        oldest.map(|(number, entry)| OutboxEntry { id: named(*number), entry: Arc::clone(entry) }).collect()
    }

    /// The ledger holds it.
    pub fn acknowledge(&mut self, number: (u64, u64), now: Timestamp) {
        self.outbox.remove(&number);
        let newest = |state: &&mut State| state.ticket.is_some_and(|ticket| ticket.number == number);
        self.states.values_mut().filter(newest).for_each(|state| state.since = now);
    }

    /// Those that may be let go because they have been idle since then: nothing will
    /// happen to them by itself, and the ledger holds them.
    pub fn idle(&self, since: Timestamp) -> Vec<SessionKey> {
        let may_go = |state: &State| {
            let session = &state.session;
            let is_recorded = state.ticket.is_none_or(|ticket| !self.outbox.contains_key(&ticket.number));
            let is_idle = session.status != Status::Running && session.due_at.is_none();
            is_idle && is_recorded && state.since <= since
        };
        self.states.iter().filter(|(_, state)| may_go(state)).map(|(key, _)| key.clone()).collect()
    }

    pub fn let_go(&mut self, key: &SessionKey) {
        self.states.remove(key);
    }
}
