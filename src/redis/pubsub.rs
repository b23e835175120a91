//! Channels that are listened to, whatever becomes of the connection.
//!
//! Pub/sub tells nothing twice. So whatever may have been missed is told as a gap, and
//! only once everything is listened to again: who reads after a gap misses nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::{ClientLike as _, ClusterInterface as _, EventInterface as _, PubsubInterface as _};
use fred::types::Message;
use fred::types::cluster::SlotRange;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Fuse, FusedFuture as _, join_all};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::client::COMMAND_TIMEOUT;
use super::connection::Redis;
use super::error::RedisError;
use crate::telemetry::outage::chain;

/// So many channels are asked for at once.
const MAX_CHANNELS_PER_COMMAND: usize = 256;

/// So often a cluster is asked which node holds which slots. Where one has moved nothing is
/// heard any more, and the library does not say so.
const SLOT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Between two tries to listen again: first, and at most.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PubSubEvent {
    /// Something was told on a channel.
    Message(String, Bytes),
    /// Something may have been missed; from here on, nothing is.
    Gap,
}

/// An ear with a connection of its own.
pub struct PubSub {
    redis: Redis,
    wanted: Mutex<BTreeSet<String>>,
}

impl Redis {
    /// How many connections listen to a channel.
    pub async fn subscriber_count(&self, channel: &str) -> Result<u64, RedisError> {
        let commands = self.commands().await?;
        let counted: Result<HashMap<String, u64>, _> = if self.is_cluster() {
            commands.pubsub_shardnumsub(channel).await
        } else {
            commands.pubsub_numsub(channel).await
        };
        let counted = counted.map_err(RedisError::of)?;
        Ok(counted.get(channel).copied().unwrap_or(0))
    }
}

impl PubSub {
    /// Listens to nothing yet.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis, wanted: Mutex::default() }
    }

    /// Listens to a channel. After an error it is still wanted, and listened to as soon
    /// as there is a connection again; who asks once more learns when.
    pub async fn subscribe(&self, channel: String) -> Result<(), RedisError> {
        self.wanted().insert(channel.clone());
        self.redis.commands().await?;
        self.subscribe_all(&[channel]).await
    }

    /// Listens to it no more.
    pub async fn unsubscribe(&self, channel: &str) {
        self.wanted().remove(channel);
        self.unsubscribe_all(&[channel.to_owned()]).await;
    }

    /// Hands on what is heard; runs until it is dropped. Without it nothing is heard.
    pub async fn run(&self, mut tell: impl FnMut(PubSubEvent)) {
        let client = &self.redis.client;
        let (mut messages, mut reconnects) = (client.message_rx(), client.reconnect_rx());
        let mut changes = client.cluster_change_rx();
        let (mut look, mut owners) = (interval(SLOT_CHECK_INTERVAL), self.owners());
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was wanted before this ran may not be heard yet.
        let (mut wait, mut renewing) = (RETRY_BACKOFF.0, self.resubscribe_after(Duration::ZERO));
        loop {
            tokio::select! {
                heard = messages.recv() => match heard {
                    Ok(message) => tell(event(message)),
                    Err(RecvError::Lagged(_)) => tell(PubSubEvent::Gap),
                    Err(RecvError::Closed) => return,
                },
                Ok(_) = reconnects.recv() => renewing = self.resubscribe_after(Duration::ZERO),
                Ok(_) = changes.recv() => renewing = self.resubscribe_after(Duration::ZERO),
                _ = look.tick(), if self.redis.is_cluster() => if self.slots_moved(&mut owners).await {
                    renewing = self.resubscribe_after(Duration::ZERO);
                },
                renewed = &mut renewing, if !renewing.is_terminated() => match renewed {
                    Ok(()) => {
                        wait = RETRY_BACKOFF.0;
                        tell(PubSubEvent::Gap);
                    }
                    Err(failure) => {
                        // What can be is heard again; for the rest there will be another gap.
                        if wait == RETRY_BACKOFF.0 {
                            tracing::warn!(error = chain(&failure), "failed to resubscribe to some channels");
                            tell(PubSubEvent::Gap);
                        }
                        renewing = self.resubscribe_after(wait);
                        wait = (wait * 2).min(RETRY_BACKOFF.1);
                    }
                },
            }
        }
    }

    /// Whether slots are held by others than before.
    async fn slots_moved(&self, owners: &mut Vec<SlotRange>) -> bool {
        // What it cannot learn now it learns the next time.
        let _ = timeout(COMMAND_TIMEOUT, self.redis.client.sync_cluster()).await;
        let before = std::mem::replace(owners, self.owners());
        before != *owners
    }

    fn owners(&self) -> Vec<SlotRange> {
        let routing = self.redis.client.cached_cluster_state();
        let mut owners = routing.map_or_else(Vec::new, |routing| routing.slots().to_vec());
        owners.sort_unstable_by_key(|range| range.start);
        owners
    }

    fn resubscribe_after(&self, wait: Duration) -> Fuse<BoxFuture<'_, Result<(), RedisError>>> {
        let renewed = async move {
            sleep(wait).await;
            self.resubscribe_all().await
        };
        renewed.boxed().fuse()
    }

    /// Listens to all that is wanted, as far as it can be; fails if some cannot.
    async fn resubscribe_all(&self) -> Result<(), RedisError> {
        self.redis.commands().await?;
        let all: Vec<String> = self.wanted().iter().cloned().collect();
        let mut outcome = Ok(());
        for some in all.chunks(MAX_CHANNELS_PER_COMMAND) {
            outcome = outcome.and(self.subscribe_all(some).await);
            let unwanted: Vec<String> = {
                let wanted = self.wanted();
                some.iter().filter(|channel| !wanted.contains(*channel)).cloned().collect()
            };
            self.unsubscribe_all(&unwanted).await;
        }
        outcome
    }

    /// Returns once the server listens for us.
    ///
    /// In a cluster a message stays with the node that holds its channel's keys, and one
    /// command is for one slot. Without one, the library takes a subscription that was
    /// sent for one that was made: so a question is sent after it, on the same connection.
    async fn subscribe_all(&self, channels: &[String]) -> Result<(), RedisError> {
        let client = &self.redis.client;
        let subscribed = async {
            if self.redis.is_cluster() {
                let each = channels.iter().map(|channel| client.ssubscribe(channel.as_str()));
                join_all(each).await.into_iter().collect()
            } else {
                client.subscribe(channels.to_vec()).await?;
                client.ping(None).await
            }
        };
        let answer = timeout(COMMAND_TIMEOUT, subscribed).await;
        answer.map_err(|elapsed| RedisError::Indeterminate(elapsed.into()))?.map_err(RedisError::of)
    }

    async fn unsubscribe_all(&self, channels: &[String]) {
        if channels.is_empty() {
            return;
        }
        let client = &self.redis.client;
        // What is heard though nobody wants it does no harm.
        if self.redis.is_cluster() {
            let each = channels.iter().map(|channel| client.sunsubscribe(channel.as_str()));
            let _ = timeout(COMMAND_TIMEOUT, join_all(each)).await;
        } else {
            let _ = timeout(COMMAND_TIMEOUT, client.unsubscribe(channels.to_vec())).await;
        }
    }

    /// A panic elsewhere cannot leave it half changed: nothing in here panics in between.
    fn wanted(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(message: Message) -> PubSubEvent {
    match message.value.convert() {
        Ok(payload) => PubSubEvent::Message(message.channel.to_string(), payload),
        Err(_) => PubSubEvent::Gap,
    }
}
