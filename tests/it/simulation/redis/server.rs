//! The server: one process after another over one image, its subscribers, and its faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use synckairos::bus::Message;
use synckairos::domain::id::SessionKey;
use synckairos::domain::position::Position;
use synckairos::domain::time::Timestamp;
use synckairos::membership::{InstanceId, Member};
use synckairos::store::outbox::EntryId;
use synckairos::store::partition::Partition;
use synckairos::store::{Commit, StoredSession};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::image::{Generation, Image, Lapses, PartitionImage, Word};
use super::pubsub::EventSender;
use crate::harness::rng::Rng;
use crate::simulation::link::Link;
use crate::simulation::record::{Event, Record, Stored};

/// Nothing is let go sooner.
const LEAST_IDLE_MS: i64 = 1_000;

/// A build that lies: what the simulation must catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flaw {
    #[default]
    None,
    /// A write does not compare its base.
    ComparesNothing,
    /// A write that comes again is a new one.
    KnowsNoOperations,
    /// Frames are told first, and now and then nothing is stored.
    TellsFirst,
    /// A read is answered with what was written or read last by this instance.
    TrustsItself,
}

/// What the next process finds.
#[derive(Debug, Clone)]
pub enum Keeps {
    All,
    /// What was there a while ago.
    Image(Box<Image>),
    Nothing,
}

/// One server, reached by many.
#[derive(Clone)]
pub struct Server(Arc<Mutex<State>>);

pub(super) struct State {
    pub image: Image,
    pub run: u64,
    is_up: bool,
    subscribers: BTreeMap<u64, Subscriber>,
    stirred: BTreeMap<u64, (Link, Arc<Notify>)>,
    pub leases: BTreeMap<InstanceId, (Member, Instant)>,
    flaw: Flaw,
    rng: Rng,
    record: Record,
}

struct Subscriber {
    link: Link,
    sender: Arc<EventSender>,
    keys: BTreeSet<SessionKey>,
}

impl Server {
    pub fn new(record: Record, rng: Rng, flaw: Flaw) -> Self {
        Self(Arc::new(Mutex::new(State {
            image: Image::default(),
            run: 1,
            is_up: true,
            subscribers: BTreeMap::new(),
            stirred: BTreeMap::new(),
            leases: BTreeMap::new(),
            flaw,
            rng,
            record,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn flaw(&self) -> Flaw {
        self.state().flaw
    }

    /// Does something in one step, if it is up.
    pub(super) fn step<T>(&self, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.state();
        state.is_up.then(|| act(&mut state))
    }

    /// What is held now, to be gone back to.
    pub fn image(&self) -> Image {
        self.state().image.clone()
    }

    /// The process ends. Subscribers are cut off for `span`, and for as long nobody
    /// is there; `recorded` says what the ledger holds.
    pub fn die(&self, span: Duration, keeps: Keeps, recorded: impl Fn(&SessionKey) -> Option<Position>) {
        let mut state = self.state();
        state.is_up = false;
        state.run += 1;
        let before = std::mem::take(&mut state.image);
        state.image = match keeps {
            Keeps::All => before.clone(),
            Keeps::Image(image) => *image,
            Keeps::Nothing => Image::default(),
        };
        if state.image.partitions.is_empty() {
            state.leases.clear();
        }
        for key in before.keys() {
            let (stood, stands, recorded) = (before.position(&key), state.image.position(&key), recorded(&key));
            state.record.add(Event::Died { key, stood, stands, recorded });
        }
        let subscribers = std::mem::take(&mut state.subscribers);
        drop(state);
        for subscriber in subscribers.into_values() {
            subscriber.link.cut(span);
        }
    }

    /// The next process is there.
    pub fn rise(&self) {
        self.state().is_up = true;
    }

    /// Lets go of what has been idle, as a long schedule would.
    pub fn let_go_of_idle(&self) {
        let mut state = self.state();
        let since = state.now() - LEAST_IDLE_MS;
        let idle: Vec<_> = state.image.partitions.values().flat_map(|kept| kept.idle(since)).collect();
        for key in idle {
            state.image.partition(&key).let_go(&key);
            state.record.add(Event::LetGo(key));
        }
    }

    /// How many entries wait for the ledger.
    pub fn waiting(&self) -> usize {
        self.state().image.partitions.values().map(|kept| kept.outbox.len()).sum()
    }

    /// What is held of each session.
    pub fn sessions(&self) -> BTreeMap<SessionKey, StoredSession> {
        let state = self.state();
        let held = |kept: &PartitionImage| -> Vec<_> {
            let Some(generation) = &kept.generation else { return Vec::new() };
            kept.states.keys().filter_map(|key| Some((key.clone(), kept.held(key, generation)?))).collect()
        };
        state.image.partitions.values().flat_map(held).collect()
    }

    pub fn position(&self, key: &SessionKey) -> Option<Position> {
        self.state().image.position(key)
    }

    /// Listens from now on, over that connection.
    pub(super) fn subscribe(
        &self,
        subscriber: u64,
        link: &Link,
        sender: &Arc<EventSender>,
        keys: &[SessionKey],
    ) -> Option<()> {
        self.step(|state| {
            let new = || Subscriber { link: link.clone(), sender: Arc::clone(sender), keys: BTreeSet::new() };
            state.subscribers.entry(subscriber).or_insert_with(new).keys.extend(keys.iter().cloned());
        })
    }

    pub(super) fn unsubscribe(&self, subscriber: u64, key: &SessionKey) {
        if let Some(subscriber) = self.state().subscribers.get_mut(&subscriber) {
            subscriber.keys.remove(key);
        }
    }

    /// A connection is gone.
    pub(super) fn forget(&self, subscriber: u64) {
        self.state().subscribers.remove(&subscriber);
    }

    /// Is told when something waits for the ledger where nothing did.
    pub(super) fn stir(&self, number: u64, link: Link, stirred: Arc<Notify>) {
        self.state().stirred.insert(number, (link, stirred));
    }

    /// An instance is no more.
    pub fn gone(&self, instance: u64) {
        let mut state = self.state();
        state.subscribers.remove(&instance);
        state.stirred.remove(&instance);
    }
}

impl State {
    pub fn now(&self) -> Timestamp {
        self.record.truth().now()
    }

    /// The partition's generation, or the one that begins now by the clock of the instance that asks.
    pub fn live(&mut self, key: Partition, began: Timestamp) -> Generation {
        let (run, now) = (self.run, self.now());
        self.image.partitions.entry(key).or_default().live(run, began, now)
    }

    pub fn is_alive(&self, partition: Partition, generation: &Generation) -> bool {
        let lived = self.image.partitions.get(&partition).and_then(|kept| kept.generation.as_ref());
        lived == Some(generation) && generation.run == self.run
    }

    /// The one script that writes.
    pub fn commit(&mut self, commit: &Commit, generation: &Generation) -> Word {
        let lapses = Lapses {
            compares_nothing: self.flaw == Flaw::ComparesNothing,
            knows_no_operations: self.flaw == Flaw::KnowsNoOperations,
        };
        if let Some(word) = self.image.partition(&commit.key).declined(commit, generation, lapses) {
            return word;
        }
        let number = self.image.next_ticket(self.now());
        if self.flaw == Flaw::TellsFirst && self.rng.chance(10) {
            self.tell(commit);
            let partition = Some(Partition::of(&commit.key));
            return Word::Stored(EntryId { partition, generation: generation.number, number });
        }
        let now = self.now();
        let kept = self.image.partition(&commit.key);
        let is_first = kept.outbox.is_empty();
        let ticket = kept.write(commit, generation, number, now);
        let Commit { key, base, session, frames, entry, .. } = commit.clone();
        self.record.add(Event::Stored(Stored { key, base, session, frames, entry }));
        self.tell(commit);
        if is_first {
            self.wake();
        }
        Word::Stored(ticket)
    }

    pub fn restored(&self, event: Event) {
        self.record.add(event);
    }

    fn tell(&self, commit: &Commit) {
        let (key, position, frames) = (commit.key.clone(), commit.session.position, commit.frames.clone());
        let message = Message { key, position, frames };
        for subscriber in self.subscribers.values().filter(|subscriber| subscriber.keys.contains(&message.key)) {
            let Some(arrives) = subscriber.link.sends() else { continue };
            let (link, cuts) = (subscriber.link.clone(), subscriber.link.cuts());
            let (sender, message) = (Arc::clone(&subscriber.sender), message.clone());
            tokio::spawn(async move {
                sleep_until(arrives).await;
                if link.cuts() == cuts {
                    sender.send(message);
                }
            });
        }
    }

    fn wake(&self) {
        for (link, stirred) in self.stirred.values() {
            let Some(arrives) = link.sends() else { continue };
            let stirred = Arc::clone(stirred);
            tokio::spawn(async move {
                sleep_until(arrives).await;
                stirred.notify_one();
            });
        }
    }
}
