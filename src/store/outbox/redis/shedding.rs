//! While the ledger is away: bodies of versions that were followed by others are let go,
//! so that Redis has room for what is used.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fred::types::Value;
use futures::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::RedisOutbox;
use crate::redis::RedisError;
use crate::store::partition::Partition;
use crate::store::redis::SCRIPTS;
use crate::telemetry::metrics::OUTBOX_SHED_TOTAL;
use crate::telemetry::outage::{Outage, OutageTracker};

/// How often what waits is weighed.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// So many steps of a thousand entries are looked at in a partition, each time.
const MAX_STEPS: usize = 50;

static SIZE_OUTAGE: Outage = Outage::new("store", "failed to measure the outbox", "the outbox is measured again");

impl RedisOutbox {
    /// Weighs what is owned here, and sheds what is too much; runs until it is dropped.
    pub(super) async fn keep_within(&self, max_bytes: u64) {
        let mut ticks = interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asker = OutageTracker::of(&SIZE_OUTAGE);
        loop {
            ticks.tick().await;
            asker.record(self.shed_past(max_bytes).await.err().as_ref());
        }
    }

    /// Sheds until no more than `max_bytes` wait, as near as weighing goes. Gives how
    /// many bodies were shed.
    pub(in crate::store) async fn shed_past(&self, max_bytes: u64) -> Result<u64, RedisError> {
        let owned: Vec<Partition> = self.owned.borrow().iter().collect();
        let weights = join_all(owned.iter().map(|partition| self.size(*partition))).await;
        let weights: Vec<(Partition, u64)> =
            owned.into_iter().zip(weights).filter_map(|(partition, bytes)| Some((partition, bytes.ok()?))).collect();
        let all: u64 = weights.iter().map(|(_, bytes)| bytes).sum();
        let Some(over) = all.checked_sub(max_bytes).filter(|over| *over > 0) else { return Ok(0) };
        let mut shed = 0;
        for (partition, bytes) in weights {
            // Each gives way by as much as it holds.
            let wanted = u128::from(over) * u128::from(bytes) / u128::from(all);
            shed += self.shed(partition, u64::try_from(wanted).unwrap_or(u64::MAX)).await?;
        }
        metrics::counter!(OUTBOX_SHED_TOTAL).increment(shed);
        Ok(shed)
    }

    async fn size(&self, partition: Partition) -> Result<u64, RedisError> {
        let named = self.lives.keys();
        let keys = vec![named.outbox(partition), named.bodies(partition)];
        let (answer, _) = self.lives.ask(partition, &SCRIPTS.outbox_size, keys, Vec::new()).await?;
        let [entries, bytes] = numbers(&answer.fields)?;
        let weight = &self.weights[partition.index()];
        weight.entries.store(entries, Ordering::Relaxed);
        weight.bytes.store(bytes, Ordering::Relaxed);
        Ok(bytes)
    }

    async fn shed(&self, partition: Partition, wanted: u64) -> Result<u64, RedisError> {
        let named = self.lives.keys();
        let keys = vec![named.outbox(partition), named.bodies(partition)];
        let (mut freed, mut count, mut begin) = (0, 0, "-".to_owned());
        for _ in 0..MAX_STEPS {
            if freed >= wanted {
                break;
            }
            let arguments: Vec<Value> =
                [(wanted - freed).to_string(), begin, named.state_prefix(partition)].map(Value::from).into();
            let (mut answer, _) = self.lives.ask(partition, &SCRIPTS.outbox_shed, keys.clone(), arguments).await?;
            let next: String =
                answer.fields.pop().and_then(|next| next.convert().ok()).ok_or_else(RedisError::protocol)?;
            let [bytes, bodies] = numbers(&answer.fields)?;
            (freed, count, begin) = (freed + bytes, count + bodies, next);
            if begin.is_empty() {
                break;
            }
        }
        Ok(count)
    }
}

fn numbers<const N: usize>(parts: &[Value]) -> Result<[u64; N], RedisError> {
    let numbers: Option<Vec<u64>> = parts.iter().map(Value::as_u64).collect();
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(RedisError::protocol)
}
