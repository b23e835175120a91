//! Pub/sub that resubscribes after every loss of a connection.
//!
//! Pub/sub delivers nothing twice. Where messages may have been lost, the receiver gets a
//! gap, once all subscriptions stand again: a receiver that reads after a gap misses nothing.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::{ClientLike as _, ClusterInterface as _, EventInterface as _, PubsubInterface as _};
use fred::types::Message;
use fred::types::cluster::SlotRange;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Fuse, FusedFuture as _, join_all};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::client::COMMAND_TIMEOUT;
use super::connection::Redis;
use super::error::RedisError;
use crate::telemetry::outage::chain;

/// Channels of one subscribe command.
const MAX_CHANNELS_PER_COMMAND: usize = 256;

/// Between two reads of a cluster's slots. Messages of a slot that has moved are lost, and the
/// library does not say so.
const SLOT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Between two attempts to resubscribe: the first wait, and the longest.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// An event for the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PubSubEvent {
    /// A message on a channel.
    Message(String, Bytes),
    /// Messages may have been lost; from here on, none is.
    Gap,
}

/// Subscriptions over a connection of their own.
pub struct PubSub {
    redis: Redis,
    wanted: Mutex<BTreeSet<String>>,
}

impl Redis {
    /// The number of connections that are subscribed to a channel.
    pub async fn subscriber_count(&self, channel: &str) -> Result<u64, RedisError> {
        let commands = self.commands().await?;
        let counts: Result<HashMap<String, u64>, _> = if self.is_cluster() {
            commands.pubsub_shardnumsub(channel).await
        } else {
            commands.pubsub_numsub(channel).await
        };
        let counts = counts.map_err(RedisError::of)?;
        Ok(counts.get(channel).copied().unwrap_or(0))
    }
}

impl PubSub {
    /// Without a subscription yet.
    pub fn new(redis: Redis) -> Self {
        Self { redis, wanted: Mutex::default() }
    }

    /// Subscribes to a channel. After an error the channel is subscribed as soon as there is
    /// a connection; a second call returns when it is.
    pub async fn subscribe(&self, channel: String) -> Result<(), RedisError> {
        self.wanted.lock().insert(channel.clone());
        self.redis.commands().await?;
        self.subscribe_all(&[channel]).await
    }

    /// Unsubscribes from a channel.
    pub async fn unsubscribe(&self, channel: &str) {
        self.wanted.lock().remove(channel);
        self.unsubscribe_all(&[channel.to_owned()]).await;
    }

    /// Passes events to `receive`; runs until it is dropped. Without it none is received.
    pub async fn run(&self, mut receive: impl FnMut(PubSubEvent)) {
        let client = &self.redis.client;
        let (mut messages, mut reconnects) = (client.message_rx(), client.reconnect_rx());
        let mut changes = client.cluster_change_rx();
        let (mut slot_checks, mut owners) = (interval(SLOT_CHECK_INTERVAL), self.owners());
        slot_checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Earlier subscriptions may not stand yet.
        let (mut wait, mut resubscribing) = (RETRY_BACKOFF.0, self.resubscribe_after(Duration::ZERO));
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Ok(message) => receive(event(message)),
                    Err(RecvError::Lagged(_)) => receive(PubSubEvent::Gap),
                    Err(RecvError::Closed) => return,
                },
                Ok(_) = reconnects.recv() => resubscribing = self.resubscribe_after(Duration::ZERO),
                Ok(_) = changes.recv() => resubscribing = self.resubscribe_after(Duration::ZERO),
                _ = slot_checks.tick(), if self.redis.is_cluster() => if self.slots_moved(&mut owners).await {
                    resubscribing = self.resubscribe_after(Duration::ZERO);
                },
                resubscribed = &mut resubscribing, if !resubscribing.is_terminated() => match resubscribed {
                    Ok(()) => {
                        wait = RETRY_BACKOFF.0;
                        receive(PubSubEvent::Gap);
                    }
                    Err(error) => {
                        // The other channels stand again; for the rest there will be another gap.
                        if wait == RETRY_BACKOFF.0 {
                            tracing::warn!(error = chain(&error), "failed to resubscribe to some channels");
                            receive(PubSubEvent::Gap);
                        }
                        resubscribing = self.resubscribe_after(wait);
                        wait = (wait * 2).min(RETRY_BACKOFF.1);
                    }
                },
            }
        }
    }

    /// Whether slots have other owners than before.
    async fn slots_moved(&self, owners: &mut Vec<SlotRange>) -> bool {
        // After a failure the next check finds it.
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
        let resubscribed = async move {
            sleep(wait).await;
            self.resubscribe_all().await
        };
        resubscribed.boxed().fuse()
    }

    /// Subscribes to all wanted channels that it can; fails if it cannot to some.
    async fn resubscribe_all(&self) -> Result<(), RedisError> {
        self.redis.commands().await?;
        let all: Vec<String> = self.wanted.lock().iter().cloned().collect();
        let mut outcome = Ok(());
        for some in all.chunks(MAX_CHANNELS_PER_COMMAND) {
            outcome = outcome.and(self.subscribe_all(some).await);
            let unwanted: Vec<String> = {
                let wanted = self.wanted.lock();
                some.iter().filter(|channel| !wanted.contains(*channel)).cloned().collect()
            };
            self.unsubscribe_all(&unwanted).await;
        }
        outcome
    }

    /// Returns once the subscriptions stand.
    ///
    /// In a cluster a message stays with the node that holds its channel's keys, and one
    /// command is for one slot. On one server, the library returns once a subscription was
    /// sent: so a ping follows on the same connection, whose answer comes after it.
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
        let outcome = timeout(COMMAND_TIMEOUT, subscribed).await;
        outcome.map_err(|elapsed| RedisError::Indeterminate(elapsed.into()))?.map_err(RedisError::of)
    }

    async fn unsubscribe_all(&self, channels: &[String]) {
        if channels.is_empty() {
            return;
        }
        let client = &self.redis.client;
        // Messages of an unwanted channel do no harm.
        if self.redis.is_cluster() {
            let each = channels.iter().map(|channel| client.sunsubscribe(channel.as_str()));
            let _ = timeout(COMMAND_TIMEOUT, join_all(each)).await;
        } else {
            let _ = timeout(COMMAND_TIMEOUT, client.unsubscribe(channels.to_vec())).await;
        }
    }
}

fn event(message: Message) -> PubSubEvent {
    match message.value.convert() {
        Ok(payload) => PubSubEvent::Message(message.channel.to_string(), payload),
        Err(_) => PubSubEvent::Gap,
    }
}
