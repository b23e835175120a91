//! A hub over a source and a bus that a test controls.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::bus::memory::{MemoryBus, MemoryHub};
use crate::bus::{Bus, BusEvent, BusUnavailable, Message};
use crate::clock::ManualClock;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::fanout::{
    Delivery, EndReason, Hub, HubParts, NewestState, Settings, Source, Subscription, Transport, Unavailable, UpdateKind,
};
use crate::seal::Sealing;
use crate::shutdown::{Finished, Shutdown};

pub const START: i64 = 1_000_000;
pub const LONG: Duration = Duration::from_secs(10);

/// A source that a test controls.
pub struct StubSource {
    sessions: Mutex<HashMap<SessionKey, NewestState>>,
    pub reads: AtomicUsize,
    pub is_down: AtomicBool,
    /// Each read takes one permit.
    pub gate: Semaphore,
}

#[async_trait]
impl Source for StubSource {
    async fn newest(&self, key: &SessionKey) -> Result<Option<NewestState>, Unavailable> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let found = self.sessions.lock().unwrap().get(key).cloned();
        let _through = self.gate.acquire().await.unwrap();
        if self.is_down.load(Ordering::Relaxed) { Err(Unavailable::STORE) } else { Ok(found) }
    }
}

/// The bus of memory, and gaps as a test wants them.
pub struct StubBus {
    memory: MemoryBus,
    gaps: tokio::sync::mpsc::Sender<BusEvent>,
    receiver: Mutex<Option<tokio::sync::mpsc::Receiver<BusEvent>>>,
    pub unsubscribed: AtomicUsize,
}

#[async_trait]
impl Bus for StubBus {
    async fn subscribe(&self, key: &SessionKey) -> Result<(), BusUnavailable> {
        self.memory.subscribe(key).await
    }

    async fn unsubscribe(&self, key: &SessionKey) {
        self.unsubscribed.fetch_add(1, Ordering::Relaxed);
        self.memory.unsubscribe(key).await;
    }

    fn events(&self) -> Option<tokio::sync::mpsc::Receiver<BusEvent>> {
        self.receiver.lock().unwrap().take()
    }
}

pub struct House {
    pub hub: Arc<Hub>,
    pub truth: Arc<StubSource>,
    pub clock: Arc<ManualClock>,
    pub bus: Arc<StubBus>,
    pub key: SessionKey,
    pub shutdown: Shutdown,
    memory: MemoryHub,
}

pub fn settings() -> Settings {
    // No check comes, unless a test wants one.
    Settings { position_check: LONG * 60, ..Settings::default() }
}

pub const fn at(epoch: i64, version: u64) -> Position {
    Position { epoch, version }
}

impl House {
    pub fn new(settings: Settings) -> Self {
        let memory = MemoryHub::default();
        let shutdown = Shutdown::new();
        let clock = Arc::new(ManualClock::at(Timestamp::from_ms(START)));
        let truth = Arc::new(StubSource {
            sessions: Mutex::default(),
            reads: AtomicUsize::new(0),
            is_down: AtomicBool::new(false),
            gate: Semaphore::new(1_000),
        });
        let (gaps, receiver) = tokio::sync::mpsc::channel(1_024);
        let attached = memory.attach();
        let mut events = attached.events().unwrap();
        let forward = gaps.clone();
        shutdown.spawn("stub bus", async move {
            while let Some(event) = events.recv().await {
                if forward.send(event).await.is_err() {
                    return;
                }
            }
        });
        let receiver = Mutex::new(Some(receiver));
        let bus = Arc::new(StubBus { memory: attached, gaps, receiver, unsubscribed: AtomicUsize::new(0) });
        let parts = HubParts {
            bus: Arc::clone(&bus) as _,
            source: Arc::clone(&truth) as _,
            clock: Arc::clone(&clock) as _,
            sealing: Sealing::default(),
        };
        let hub = Hub::start(parts, settings, &shutdown);
        let key = SessionKey { tenant: TenantId::new("t").unwrap(), session: SessionId::new("s").unwrap() };
        Self { hub, truth, clock, bus, key, shutdown, memory }
    }

    pub fn watch(&self, last: Option<Position>) -> Subscription {
        self.hub.subscribe(&self.key, last, Transport::WebSocket)
    }

    /// Stores a state without announcing it.
    pub fn store(&self, position: Position, edges: &str) {
        let newest = NewestState { position, snapshot: snapshot(position, edges), is_deleted: false };
        self.truth.sessions.lock().unwrap().insert(self.key.clone(), newest);
    }

    pub fn tell(&self, position: Position, frames: String) {
        self.memory.announce(&Message { key: self.key.clone(), position, frames: frames.into() });
    }

    /// Stores a state and announces it, as the store does.
    pub fn write(&self, position: Position) {
        self.write_with(position, "");
    }

    pub fn write_with(&self, position: Position, edges: &str) {
        self.store(position, edges);
        self.tell(position, update(position, edges));
    }

    pub fn write_partial(&self, position: Position, changed: &str) {
        self.store(position, "");
        let head = format!(r#"{{"type":"STATE_UPDATE","session_id":"s","position":"{position}","partial":true"#);
        self.tell(position, format!(r#"{head},"payload":{{"changed":[{changed}]}}}}"#));
    }

    pub fn delete(&self, position: Position) {
        let newest = NewestState { position, snapshot: Bytes::new(), is_deleted: true };
        self.truth.sessions.lock().unwrap().insert(self.key.clone(), newest);
        self.tell(
            position,
            format!(r#"{{"type":"SESSION_DELETED","session_id":"s","position":"{position}","payload":{{}}}}"#),
        );
    }

    /// Waits until the warnings are planned by the state at `position`.
    pub async fn planned(&self, position: Position) {
        let seen = || self.hub.shared.topics().get(&self.key).and_then(|topic| topic.planned());
        until("the warnings are planned", || seen() == Some(position)).await;
    }

    pub async fn gap(&self) {
        self.bus.gaps.send(BusEvent::Gap).await.unwrap();
    }

    pub fn reads(&self) -> usize {
        self.truth.reads.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        self.shutdown.begin();
    }

    /// Stops the hub; fails if a task hangs or has panicked.
    pub async fn close(self) {
        let Self { hub, shutdown, memory, bus, .. } = self;
        drop((hub, memory));
        // The forwarding task ends with the bus.
        drop(bus);
        let finished = shutdown.finish(Duration::from_secs(1)).await;
        assert!(
            matches!(&finished, Finished::Drained) || finished == Finished::Aborted(vec!["stub bus"]),
            "{finished:?}"
        );
        assert_eq!(shutdown.panics(), 0);
    }
}

pub fn snapshot(position: Position, edges: &str) -> Bytes {
    format!(r#"{{"version":{},"edges":[{edges}]}}"#, position.version).into()
}

pub fn update(position: Position, edges: &str) -> String {
    let payload = snapshot(position, edges);
    let payload = std::str::from_utf8(&payload).unwrap();
    format!(r#"{{"type":"STATE_UPDATE","session_id":"s","position":"{position}","event":{{}},"payload":{payload}}}"#)
}

pub fn warning(at: i64) -> String {
    let at = crate::wire::instant::Instant(Timestamp::from_ms(at));
    format!(r#"{{"at":"{at}","type":"warning","participant_id":"a","remaining_ms":10}}"#)
}

/// The next delivery in short: `sync 1-2`, `update 1-3`, `warnings 1`, `deleted`, `missing`.
pub async fn next(subscription: &mut Subscription) -> String {
    let delivery = timeout(LONG, subscription.next()).await.expect("a delivery comes");
    word(&delivery)
}

pub fn word(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Update(update) => match (update.kind, update.position) {
            (UpdateKind::State, Some(position)) => {
                assert!(update.frames[0].starts_with(br#"{"type":"STATE_SYNC""#), "{update:?}");
                format!("sync {position}")
            }
            (_, Some(position)) => format!("update {position}"),
            (_, None) => format!("warnings {}", update.frames.len()),
        },
        Delivery::Ended(EndReason::Deleted) => "deleted".to_owned(),
        Delivery::Ended(EndReason::Missing) => "missing".to_owned(),
    }
}

/// Polls until `holds`; fails after ten seconds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let polling = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, polling).await.unwrap_or_else(|_| panic!("never: {what}"));
}
