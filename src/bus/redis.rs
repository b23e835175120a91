//! The bus between processes: Redis pub/sub, one channel for each watched session.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{Audience, Bus, BusEvent, BusUnavailable, Message};
use crate::domain::id::SessionKey;
use crate::redis::{PubSub, PubSubEvent, Redis};
use crate::store::keys;
use crate::store::keys::Keys;

/// The most events that wait for an instance; beyond them it gets a gap.
const EVENT_CAPACITY: usize = 4_096;

/// One instance's end of the bus.
pub struct RedisBus {
    pubsub: PubSub,
    keys: Keys,
    sender: mpsc::Sender<BusEvent>,
    receiver: Mutex<Option<mpsc::Receiver<BusEvent>>>,
    has_gap: AtomicBool,
}

impl RedisBus {
    /// A bus on a connection of its own, for the channels of `keys`.
    pub fn new(redis: Redis, keys: Keys) -> Self {
        let (sender, receiver) = mpsc::channel(EVENT_CAPACITY);
        let receiver = Mutex::new(Some(receiver));
        Self { pubsub: PubSub::new(redis), keys, sender, receiver, has_gap: AtomicBool::new(false) }
    }

    /// Receives from Redis; runs until it is dropped. Without it no event arrives.
    pub async fn run(&self) {
        self.pubsub.run(|event| self.deliver(event)).await;
    }

    fn deliver(&self, event: PubSubEvent) {
        let event = match event {
            PubSubEvent::Message(channel, payload) => {
                message(&channel, &payload).map_or(BusEvent::Gap, BusEvent::Message)
            }
            PubSubEvent::Gap => BusEvent::Gap,
        };
        // A gap goes before every later message.
        if self.has_gap.load(Ordering::Relaxed) && self.sender.try_send(BusEvent::Gap).is_ok() {
            self.has_gap.store(false, Ordering::Relaxed);
        }
        if self.sender.try_send(event).is_err() {
            self.has_gap.store(true, Ordering::Relaxed);
        }
    }
}

/// Decodes a message; `None`, which counts as a gap, if another release encoded it differently.
fn message(channel: &str, payload: &Bytes) -> Option<Message> {
    let (position, frames) = keys::announced(payload)?;
    Some(Message { key: keys::session_of_frames(channel)?, position, frames })
}

/// The subscriptions of all instances, as Redis counts them.
pub struct RedisAudience {
    redis: Redis,
    keys: Keys,
}

impl RedisAudience {
    /// An audience on that connection, which must hold no subscription.
    pub const fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }
}

#[async_trait]
impl Audience for RedisAudience {
    async fn has_subscribers(&self, key: &SessionKey) -> Result<bool, BusUnavailable> {
        let subscribers = self.redis.subscriber_count(&self.keys.frames(key)).await;
        subscribers.map(|count| count > 0).map_err(|failure| {
            tracing::debug!(error = &failure as &dyn std::error::Error, "failed to count the subscribers of a session");
            BusUnavailable
        })
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn subscribe(&self, key: &SessionKey) -> Result<(), BusUnavailable> {
        self.pubsub.subscribe(self.keys.frames(key)).await.map_err(|failure| {
            tracing::debug!(error = &failure as &dyn std::error::Error, "failed to subscribe to a session");
            BusUnavailable
        })
    }

    async fn unsubscribe(&self, key: &SessionKey) {
        self.pubsub.unsubscribe(&self.keys.frames(key)).await;
    }

    fn events(&self) -> Option<mpsc::Receiver<BusEvent>> {
        self.receiver.lock().take()
    }
}
