//! The bus of instances that share one process.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Audience, Bus, Deaf, Heard, Message};
use crate::domain::id::SessionKey;

/// Messages an instance may lag behind before it is told of a gap.
const EAR_CAPACITY: usize = 4_096;

/// What every instance of the process is attached to.
#[derive(Debug, Default, Clone)]
pub struct MemoryHub {
    ears: Arc<RwLock<Vec<Arc<Ear>>>>,
}

#[derive(Debug)]
struct Ear {
    watched: RwLock<HashSet<SessionKey>>,
    sender: mpsc::Sender<Heard>,
    has_gap: AtomicBool,
}

impl MemoryHub {
    /// Tells every instance that listens. Never waits: it is called with the
    /// session locked, so that the order told is the order written.
    pub fn announce(&self, message: &Message) {
        for ear in self.ears.read().unwrap_or_else(PoisonError::into_inner).iter() {
            ear.hear(message);
        }
    }

    /// Whether any instance listens to that session. Never waits.
    #[must_use]
    pub fn has_listeners(&self, key: &SessionKey) -> bool {
        let ears = self.ears.read().unwrap_or_else(PoisonError::into_inner);
        ears.iter().any(|ear| ear.watched.read().unwrap_or_else(PoisonError::into_inner).contains(key))
    }

    /// Another instance joins.
    #[must_use]
    pub fn attach(&self) -> MemoryBus {
        let (sender, receiver) = mpsc::channel(EAR_CAPACITY);
        let ear = Arc::new(Ear { watched: RwLock::default(), sender, has_gap: AtomicBool::new(false) });
        self.ears.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&ear));
        MemoryBus { hub: self.clone(), ear, receiver: Mutex::new(Some(receiver)) }
    }
}

#[async_trait]
impl Audience for MemoryHub {
    async fn is_listened_to(&self, key: &SessionKey) -> Result<bool, Deaf> {
        Ok(self.has_listeners(key))
    }
}

impl Ear {
    fn hear(&self, message: &Message) {
        if !self.watched.read().unwrap_or_else(PoisonError::into_inner).contains(&message.key) {
            return;
        }
        // A gap is told before anything that came after it.
        if self.has_gap.load(Ordering::Relaxed) && self.sender.try_send(Heard::Gap).is_ok() {
            self.has_gap.store(false, Ordering::Relaxed);
        }
        if self.sender.try_send(Heard::Message(message.clone())).is_err() {
            self.has_gap.store(true, Ordering::Relaxed);
        }
    }
}

/// One instance's end of it.
#[derive(Debug)]
pub struct MemoryBus {
    hub: MemoryHub,
    ear: Arc<Ear>,
    receiver: Mutex<Option<mpsc::Receiver<Heard>>>,
}

impl Drop for MemoryBus {
    fn drop(&mut self) {
        let mut ears = self.hub.ears.write().unwrap_or_else(PoisonError::into_inner);
        ears.retain(|ear| !Arc::ptr_eq(ear, &self.ear));
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn listen(&self, key: &SessionKey) -> Result<(), Deaf> {
        self.ear.watched.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        Ok(())
    }

    async fn ignore(&self, key: &SessionKey) {
        self.ear.watched.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn ear(&self) -> Option<mpsc::Receiver<Heard>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
