//! The bus of instances that share one process.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

use super::{Audience, Bus, BusEvent, BusUnavailable, Message};
use crate::domain::id::SessionKey;

/// The most events that wait for an instance; beyond them it gets a gap.
const EVENT_CAPACITY: usize = 4_096;

/// The hub that every instance of the process is attached to.
#[derive(Debug, Default, Clone)]
pub struct MemoryHub {
    subscribers: Arc<RwLock<Vec<Arc<Subscriber>>>>,
}

#[derive(Debug)]
struct Subscriber {
    sessions: RwLock<HashSet<SessionKey>>,
    sender: mpsc::Sender<BusEvent>,
    has_gap: AtomicBool,
}

impl MemoryHub {
    /// Sends to every subscribed instance. It never waits: the caller holds the session's lock,
    /// so that messages are sent in the order of the writes.
    pub fn announce(&self, message: &Message) {
        for subscriber in self.subscribers.read().iter() {
            subscriber.deliver(message);
        }
    }

    /// Whether any instance is subscribed to that session. It never waits.
    pub fn has_subscriber(&self, key: &SessionKey) -> bool {
        let subscribers = self.subscribers.read();
        subscribers.iter().any(|subscriber| subscriber.is_subscribed(key))
    }

    /// Attaches another instance.
    pub fn attach(&self) -> MemoryBus {
        let (sender, receiver) = mpsc::channel(EVENT_CAPACITY);
        let subscriber = Arc::new(Subscriber { sessions: RwLock::default(), sender, has_gap: AtomicBool::new(false) });
        self.subscribers.write().push(Arc::clone(&subscriber));
        MemoryBus { hub: self.clone(), subscriber, receiver: Mutex::new(Some(receiver)) }
    }
}

#[async_trait]
impl Audience for MemoryHub {
    async fn has_subscribers(&self, key: &SessionKey) -> Result<bool, BusUnavailable> {
        Ok(self.has_subscriber(key))
    }
}

impl Subscriber {
    fn is_subscribed(&self, key: &SessionKey) -> bool {
        self.sessions.read().contains(key)
    }

    fn deliver(&self, message: &Message) {
        if !self.is_subscribed(&message.key) {
            return;
        }
        // A gap goes before every later message.
        if self.has_gap.load(Ordering::Relaxed) && self.sender.try_send(BusEvent::Gap).is_ok() {
            self.has_gap.store(false, Ordering::Relaxed);
        }
        if self.sender.try_send(BusEvent::Message(message.clone())).is_err() {
            self.has_gap.store(true, Ordering::Relaxed);
        }
    }
}

/// One instance's end of the hub.
#[derive(Debug)]
pub struct MemoryBus {
    hub: MemoryHub,
    subscriber: Arc<Subscriber>,
    receiver: Mutex<Option<mpsc::Receiver<BusEvent>>>,
}

impl Drop for MemoryBus {
    fn drop(&mut self) {
        let mut subscribers = self.hub.subscribers.write();
        subscribers.retain(|subscriber| !Arc::ptr_eq(subscriber, &self.subscriber));
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn subscribe(&self, key: &SessionKey) -> Result<(), BusUnavailable> {
        self.subscriber.sessions.write().insert(key.clone());
        Ok(())
    }

    async fn unsubscribe(&self, key: &SessionKey) {
        self.subscriber.sessions.write().remove(key);
    }

    fn events(&self) -> Option<mpsc::Receiver<BusEvent>> {
        self.receiver.lock().take()
    }
}
