//! The bus of instances that share one process.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Audience, Bus, BusEvent, BusUnavailable, Message};
use crate::domain::id::SessionKey;

/// Messages an instance may lag behind before it is told of a gap.
const EVENT_CAPACITY: usize = 4_096;

/// What every instance of the process is attached to.
#[derive(Debug, Default, Clone)]
pub struct MemoryHub {
    ears: Arc<RwLock<Vec<Arc<Subscriber>>>>,
}

#[derive(Debug)]
struct Subscriber {
    watched: RwLock<HashSet<SessionKey>>,
    sender: mpsc::Sender<BusEvent>,
    has_gap: AtomicBool,
}

impl MemoryHub {
    /// Tells every instance that listens. Never waits: it is called with the
    /// session locked, so that the order told is the order written.
    pub fn announce(&self, message: &Message) {
        for ear in self.ears.read().unwrap_or_else(PoisonError::into_inner).iter() {
            ear.deliver(message);
        }
    }

    /// Whether any instance listens to that session. Never waits.
    #[must_use]
    pub fn has_subscriber(&self, key: &SessionKey) -> bool {
        let ears = self.ears.read().unwrap_or_else(PoisonError::into_inner);
        ears.iter().any(|ear| ear.watched.read().unwrap_or_else(PoisonError::into_inner).contains(key))
    }

    /// Another instance joins.
    #[must_use]
    pub fn attach(&self) -> MemoryBus {
        let (sender, receiver) = mpsc::channel(EVENT_CAPACITY);
        let ear = Arc::new(Subscriber { watched: RwLock::default(), sender, has_gap: AtomicBool::new(false) });
        self.ears.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&ear));
        MemoryBus { hub: self.clone(), ear, receiver: Mutex::new(Some(receiver)) }
    }
}

#[async_trait]
impl Audience for MemoryHub {
    async fn has_subscribers(&self, key: &SessionKey) -> Result<bool, BusUnavailable> {
        Ok(self.has_subscriber(key))
    }
}

impl Subscriber {
    fn deliver(&self, message: &Message) {
        if !self.watched.read().unwrap_or_else(PoisonError::into_inner).contains(&message.key) {
            return;
        }
        // A gap is told before anything that came after it.
        if self.has_gap.load(Ordering::Relaxed) && self.sender.try_send(BusEvent::Gap).is_ok() {
            self.has_gap.store(false, Ordering::Relaxed);
        }
        if self.sender.try_send(BusEvent::Message(message.clone())).is_err() {
            self.has_gap.store(true, Ordering::Relaxed);
        }
    }
}

/// One instance's end of it.
#[derive(Debug)]
pub struct MemoryBus {
    hub: MemoryHub,
    ear: Arc<Subscriber>,
    receiver: Mutex<Option<mpsc::Receiver<BusEvent>>>,
}

impl Drop for MemoryBus {
    fn drop(&mut self) {
        let mut ears = self.hub.ears.write().unwrap_or_else(PoisonError::into_inner);
        ears.retain(|ear| !Arc::ptr_eq(ear, &self.ear));
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn subscribe(&self, key: &SessionKey) -> Result<(), BusUnavailable> {
        self.ear.watched.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        Ok(())
    }

    async fn unsubscribe(&self, key: &SessionKey) {
        self.ear.watched.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn events(&self) -> Option<mpsc::Receiver<BusEvent>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
