//! The bus of many instances: Redis pub/sub, a channel for each session that is watched.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Audience, Bus, Deaf, Heard, Message};
use crate::domain::id::SessionKey;
use crate::redis::{Listening, Redis, Told};
use crate::store::keys;
use crate::store::keys::Keys;

/// Messages an instance may lag behind before it is told of a gap.
const EAR_CAPACITY: usize = 4_096;

/// One instance's ear.
pub struct RedisBus {
    listening: Listening,
    keys: Keys,
    sender: mpsc::Sender<Heard>,
    receiver: Mutex<Option<mpsc::Receiver<Heard>>>,
    has_gap: AtomicBool,
}

impl RedisBus {
    /// An ear with a connection of its own, for what is told under those names.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys) -> Self {
        let (sender, receiver) = mpsc::channel(EAR_CAPACITY);
        let receiver = Mutex::new(Some(receiver));
        Self { listening: Listening::new(redis), keys, sender, receiver, has_gap: AtomicBool::new(false) }
    }

    /// Hands what is heard to the ear; runs until it is dropped. Without it nothing is heard.
    pub async fn run(&self) {
        self.listening.run(|told| self.hear(told)).await;
    }

    fn hear(&self, told: Told) {
        let heard = match told {
            Told::Message(channel, payload) => message(&channel, &payload).map_or(Heard::Gap, Heard::Message),
            Told::Gap => Heard::Gap,
        };
        // A gap is told before anything that came after it.
        if self.has_gap.load(Ordering::Relaxed) && self.sender.try_send(Heard::Gap).is_ok() {
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
    async fn is_listened_to(&self, key: &SessionKey) -> Result<bool, Deaf> {
        let listeners = self.redis.listeners(&self.keys.frames(key)).await;
        listeners.map(|count| count > 0).map_err(|failure| {
            tracing::debug!(error = &failure as &dyn std::error::Error, "failed to learn who listens");
            Deaf
        })
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn listen(&self, key: &SessionKey) -> Result<(), Deaf> {
        self.listening.listen(self.keys.frames(key)).await.map_err(|failure| {
            tracing::debug!(error = &failure as &dyn std::error::Error, "failed to listen to a session");
            Deaf
        })
    }

    async fn ignore(&self, key: &SessionKey) {
        self.listening.ignore(&self.keys.frames(key)).await;
    }

    fn ear(&self) -> Option<mpsc::Receiver<Heard>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
