//! The bus of many instances: Redis pub/sub, a channel for each session that is watched.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Audience, Bus, BusEvent, BusUnavailable, Message};
use crate::domain::id::SessionKey;
use crate::redis::{PubSub, PubSubEvent, Redis};
use crate::store::keys;
use crate::store::keys::Keys;

/// Messages an instance may lag behind before it is told of a gap.
const EVENT_CAPACITY: usize = 4_096;

/// One instance's ear.
pub struct RedisBus {
    listening: PubSub,
    keys: Keys,
    sender: mpsc::Sender<BusEvent>,
    receiver: Mutex<Option<mpsc::Receiver<BusEvent>>>,
    has_gap: AtomicBool,
}

impl RedisBus {
    /// An ear with a connection of its own, for what is told under those names.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys) -> Self {
        let (sender, receiver) = mpsc::channel(EVENT_CAPACITY);
        let receiver = Mutex::new(Some(receiver));
        Self { listening: PubSub::new(redis), keys, sender, receiver, has_gap: AtomicBool::new(false) }
    }

    /// Hands what is heard to the ear; runs until it is dropped. Without it nothing is heard.
    pub async fn run(&self) {
        self.listening.run(|told| self.deliver(told)).await;
    }

    fn deliver(&self, told: PubSubEvent) {
        let heard = match told {
            PubSubEvent::Message(channel, payload) => {
                message(&channel, &payload).map_or(BusEvent::Gap, BusEvent::Message)
            }
            PubSubEvent::Gap => BusEvent::Gap,
        };
        // A gap is told before anything that came after it.
        if self.has_gap.load(Ordering::Relaxed) && self.sender.try_send(BusEvent::Gap).is_ok() {
            self.has_gap.store(false, Ordering::Relaxed);
        }
        if self.sender.try_send(heard).is_err() {
            self.has_gap.store(true, Ordering::Relaxed);
        }
    }
}

/// What another release tells in a form of its own is missed, which a gap says.
fn message(channel: &str, payload: &Bytes) -> Option<Message> {
    let (position, frames) = keys::announced(payload)?;
    Some(Message { key: keys::session_of_frames(channel)?, position, frames })
}

/// Who listens, as Redis counts them.
pub struct RedisAudience {
    redis: Redis,
    keys: Keys,
}

impl RedisAudience {
    /// Asked over that connection, which listens to nothing.
    #[must_use]
    pub const fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }
}

#[async_trait]
impl Audience for RedisAudience {
    async fn has_subscribers(&self, key: &SessionKey) -> Result<bool, BusUnavailable> {
        let listeners = self.redis.subscriber_count(&self.keys.frames(key)).await;
        listeners.map(|count| count > 0).map_err(|failure| {
            tracing::debug!(error = &failure as &dyn std::error::Error, "failed to learn who listens");
            BusUnavailable
        })
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn subscribe(&self, key: &SessionKey) -> Result<(), BusUnavailable> {
        self.listening.subscribe(self.keys.frames(key)).await.map_err(|failure| {
            tracing::debug!(error = &failure as &dyn std::error::Error, "failed to listen to a session");
            BusUnavailable
        })
    }

    async fn unsubscribe(&self, key: &SessionKey) {
        self.listening.unsubscribe(&self.keys.frames(key)).await;
    }

    fn events(&self) -> Option<mpsc::Receiver<BusEvent>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
