//! A world: instances over simulated seams, clients, watchers, faults, from a plan to the
//! record of what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use synckairos::app::error::Error;
use synckairos::domain::entry::Entry;
use synckairos::domain::id::SessionKey;
use synckairos::domain::position::Position;
use synckairos::domain::session::restore::Outage;
use synckairos::domain::time::Timestamp;
use synckairos::store::StoredSession;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{Client, key};
use super::clock::Truth;
use super::faults;
use super::instance::{Around, Instance};
use super::ledger::Book;
use super::link::Weather;
use super::plan::Plan;
use super::record::{Event, Record};
use super::redis::{Flaw, Server};
use super::watcher::Watcher;

/// Once nothing is broken, everyone is right within so long.
const CALM: Duration = Duration::from_secs(15);

/// So long after the last fault every lease of a dead instance has ended, and every living instance has renewed its own.
const RECOVERED: Duration = Duration::from_secs(4);

/// So long nobody asks.
const QUIET_TIME: Duration = Duration::from_millis(1_500);

/// What happens by itself is told before it has been due for so long.
const OVERDUE_MS: i64 = 1_000;

/// What is taken back is seen to within so long.
const MOMENT: Duration = Duration::from_millis(500);

/// How often it is looked whether all are right.
const LOOK: Duration = Duration::from_millis(50);

/// What is shared by all that happens.
pub struct World {
    pub around: Around,
    pub record: Record,
    slots: Mutex<Vec<Option<Arc<Instance>>>>,
    started: AtomicU64,
    /// Where each watcher is.
    places: Mutex<BTreeMap<usize, Position>>,
    /// Watchers who were told of an end: they wait for nothing, even if the store has lost it.
    ended: Mutex<BTreeSet<usize>>,
    is_calm: AtomicBool,
    /// Faults of the store that last.
    falls: AtomicUsize,
}

/// What is left when all is over, with all that happened.
pub struct Outcome {
    pub plan: Arc<Plan>,
    pub events: Vec<(Timestamp, Event)>,
    /// Where each session stands.
    pub finals: BTreeMap<SessionKey, StoredSession>,
    /// By session, in the order they came.
    pub ledger: BTreeMap<SessionKey, Vec<Arc<Entry>>>,
    /// When nobody was there, as the ledger says.
    pub absences: Vec<Outage>,
    /// When all was over.
    pub ended: Timestamp,
    /// What everybody waited for in vain.
    pub stuck: Option<String>,
    /// From the end of the last fault to when all were right.
    pub right_after: Duration,
}

/// Lets a plan happen, in virtual time.
pub fn run(plan: &Plan, flaw: Flaw) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { World::new(plan, flaw).live().await })
}

impl World {
    fn new(plan: &Plan, flaw: Flaw) -> Arc<Self> {
        let truth = Truth::begin();
        let record = Record::new(truth);
        let (plan, book) = (Arc::new(plan.clone()), Book::new(record.clone()));
        let server = Server::new(record.clone(), plan.rng("server", 0), flaw);
        let slots = Mutex::new(vec![None; plan.instances]);
        Arc::new(Self {
            around: Around { plan, truth, server, book },
            record,
            slots,
            started: AtomicU64::new(0),
            places: Mutex::default(),
            ended: Mutex::default(),
            is_calm: AtomicBool::new(false),
            falls: AtomicUsize::new(0),
        })
    }

    async fn live(self: Arc<Self>) -> Outcome {
        let plan = Arc::clone(&self.around.plan);
        for slot in 0..plan.instances {
            self.start(slot);
        }
        for (number, session) in plan.watchers.iter().enumerate() {
            tokio::spawn(Watcher::new(&self, number, *session).run());
        }
        let steps = plan.clients.iter().enumerate();
        let clients = steps.map(|(number, steps)| tokio::spawn(Client::new(&self, number).run(steps.clone())));
        let faults = plan.faults.iter().map(|fault| tokio::spawn(faults::happen(Arc::clone(&self), fault.clone())));
        let (clients, faults): (Vec<_>, Vec<_>) = (clients.collect(), faults.collect());
        let broken = join_all(faults).await;
        for fault in broken {
            fault.unwrap();
        }
        sleep_until(self.around.truth.after(Duration::from_millis(plan.mended_ms()))).await;
        self.set_weather(Weather::FAIR);
        let mended = Instant::now();
        let asked = join_all(clients).await;
        for client in asked {
            client.unwrap();
        }
        self.is_calm.store(true, Ordering::Relaxed);
        self.outcome(mended).await
    }

    async fn outcome(&self, mended: Instant) -> Outcome {
        let asked = Instant::now().max(mended);
        while self.is_behind().is_some() && asked.elapsed() < CALM {
            sleep(LOOK).await;
        }
        let right_after = asked.elapsed();
        sleep_until(asked + RECOVERED).await;
        // While nobody asks, what happens by itself is told all the same.
        sleep(QUIET_TIME).await;
        let mut overdue = self.is_overdue();
        if overdue.is_some() {
            // It may have been taken back a moment ago.
            sleep(MOMENT).await;
            overdue = self.is_overdue();
        }
        // Sessions that nobody watches are taken back when somebody asks.
        let (calm, mut stuck) = (Instant::now(), self.is_unsettled().await);
        while stuck.is_some() && calm.elapsed() < CALM {
            sleep(LOOK).await;
            stuck = self.is_unsettled().await;
        }
        // From here on nothing may happen, or the record and the end would not agree.
        let finals = self.around.server.sessions();
        let (events, ledger) = (self.record.take(), self.around.book.entries());
        let stuck = self.panicked().or(overdue).or(stuck);
        let (absences, ended) = (self.around.book.absences(), self.around.truth.now());
        let plan = Arc::clone(&self.around.plan);
        Outcome { plan, events, finals, ledger, absences, ended, stuck, right_after }
    }

    fn panicked(&self) -> Option<String> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let panics: usize = slots.iter().flatten().map(|instance| instance.running.panics()).sum();
        (panics > 0).then(|| format!("{panics} tasks panicked"))
    }

    /// Something should have happened by itself a while ago, and has not.
    fn is_overdue(&self) -> Option<String> {
        let a_while_ago = self.around.truth.now() - OVERDUE_MS;
        let is_due = |held: &StoredSession| held.session.due_at.is_some_and(|at| at <= a_while_ago);
        let (key, _) = self.around.server.sessions().into_iter().find(|(_, held)| is_due(held))?;
        Some(format!("nobody sees to what {} waits for", key.session))
    }

    /// Something should have happened to a session that only the ledger knows. It is looked
    /// for every ten seconds, or sooner.
    fn is_lost(&self) -> Option<String> {
        let sessions = self.around.server.sessions();
        let due = self.around.book.due_by(self.around.truth.now() - OVERDUE_MS);
        let key = due.into_iter().find(|key| !sessions.contains_key(key))?;
        Some(format!("nobody takes {} back", key.session))
    }

    /// What is not yet as it will be. Asking for a session takes it back, if the store has
    /// let go of it or lost it.
    async fn is_unsettled(&self) -> Option<String> {
        for session in 0..self.around.plan.sessions.len() {
            let Some(instance) = self.instance(0) else { return Some("an instance is not there".to_owned()) };
            match instance.sessions.newest(&key(session)).await {
                Ok(_) | Err(Error::SessionNotFound) => {}
                Err(error) => return Some(format!("s{session} cannot be read: {error}")),
            }
        }
        self.is_behind()
    }

    fn is_behind(&self) -> Option<String> {
        if let Some(late) = self.is_overdue().or_else(|| self.is_lost()) {
            return Some(late);
        }
        let waiting = self.around.server.waiting();
        if waiting > 0 {
            return Some(format!("{waiting} entries wait for the ledger"));
        }
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, session) in self.around.plan.watchers.iter().enumerate() {
            let (newest, place) = (self.position(&key(*session)), places.get(&number).copied());
            if place != newest && !self.ended().contains(&number) {
                return Some(format!("watcher {number} is at {place:?}, s{session} at {newest:?}"));
            }
        }
        None
    }

    /// Where a session stands; of a deleted one the ledger knows, if nobody else does.
    fn position(&self, key: &SessionKey) -> Option<Position> {
        self.around.server.position(key).or_else(|| self.around.book.deleted(key).map(|entry| entry.link.position))
    }

    fn start(&self, slot: usize) {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        self.record.add(Event::Fault(format!("instance {slot} starts, the {number}th")));
        let instance = Instance::start(&self.around, number);
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)[slot] = Some(instance);
    }

    /// The instance that runs in a place, if any.
    pub fn instance(&self, slot: usize) -> Option<Arc<Instance>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)[slot].clone()
    }

    /// An instance goes, and after a while another takes its place.
    pub async fn replace(&self, slot: usize, after: Duration, is_polite: bool) {
        let gone = self.slots.lock().unwrap_or_else(PoisonError::into_inner)[slot].take();
        let Some(gone) = gone else { return };
        if is_polite {
            gone.leave(&self.around.server).await;
        } else {
            gone.crash(&self.around.server);
        }
        sleep(after).await;
        self.start(slot);
    }

    pub fn set_weather(&self, weather: Weather) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().flatten().for_each(|instance| instance.set_weather(weather));
    }

    /// A watcher was handed what stands there.
    pub fn is_at(&self, watcher: usize, position: Position) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).insert(watcher, position);
    }

    fn ended(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watcher was told whether it is the end.
    pub fn is_over(&self, watcher: usize, is_over: bool) {
        if is_over {
            self.ended().insert(watcher);
        } else {
            self.ended().remove(&watcher);
        }
    }

    /// A watcher was told that there is no such session.
    pub fn is_nowhere(&self, watcher: usize) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(&watcher);
    }

    /// Whether nothing is broken any more, and nobody commands.
    pub fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    pub fn store_falls(&self) {
        self.falls.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether no other fault keeps the store down.
    pub fn store_may_rise(&self) -> bool {
        self.falls.fetch_sub(1, Ordering::Relaxed) == 1
    }
}
