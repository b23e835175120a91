//! Sheds bodies of superseded versions while the ledger is away, so that Redis keeps room for
//! live sessions.

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
use crate::telemetry::outage::{OutageLog, OutageTracker};

/// Between two measurements.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Steps of a thousand entries that are examined in a partition, each time.
const MAX_STEPS: usize = 50;

static SIZE_OUTAGE: OutageLog = OutageLog::new("store", "failed to measure the outbox", "the outbox is measured again");

impl RedisOutbox {
    /// Measures the owned partitions, and sheds what is too much; runs until it is dropped.
    pub(super) async fn keep_within(&self, max_bytes: u64) {
        let mut ticks = interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut outage = OutageTracker::of(&SIZE_OUTAGE);
        loop {
            ticks.tick().await;
            outage.record(self.shed_past(max_bytes).await.err().as_ref());
        }
    }

    /// Sheds until no more than `max_bytes` are left, as near as the measurement goes.
    /// Returns the number of bodies shed.
    pub(in crate::store) async fn shed_past(&self, max_bytes: u64) -> Result<u64, RedisError> {
        let owned: Vec<Partition> = self.owned.borrow().iter().collect();
        let sizes = join_all(owned.iter().map(|partition| self.size(*partition))).await;
        let sizes: Vec<(Partition, u64)> =
            owned.into_iter().zip(sizes).filter_map(|(partition, bytes)| Some((partition, bytes.ok()?))).collect();
        let all: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
        let Some(over) = all.checked_sub(max_bytes).filter(|over| *over > 0) else { return Ok(0) };
        let mut shed = 0;
        for (partition, bytes) in sizes {
            // Each sheds in proportion to its size.
            let wanted = u128::from(over) * u128::from(bytes) / u128::from(all);
            shed += self.shed(partition, u64::try_from(wanted).unwrap_or(u64::MAX)).await?;
        }
        metrics::counter!(OUTBOX_SHED_TOTAL).increment(shed);
        Ok(shed)
    }

    async fn size(&self, partition: Partition) -> Result<u64, RedisError> {
        let names = self.generations.keys();
        let keys = vec![names.outbox(partition), names.bodies(partition)];
        let (reply, _) = self.generations.ask(partition, &SCRIPTS.outbox_size, keys, Vec::new()).await?;
        let [entries, bytes] = numbers(&reply.fields)?;
        let size = &self.sizes[partition.index()];
        size.entries.store(entries, Ordering::Relaxed);
        size.bytes.store(bytes, Ordering::Relaxed);
        Ok(bytes)
    }

    async fn shed(&self, partition: Partition, wanted: u64) -> Result<u64, RedisError> {
        let names = self.generations.keys();
        let keys = vec![names.outbox(partition), names.bodies(partition)];
        let (mut freed, mut count, mut begin) = (0, 0, "-".to_owned());
        for _ in 0..MAX_STEPS {
            if freed >= wanted {
                break;
            }
            let arguments: Vec<Value> =
                [(wanted - freed).to_string(), begin, names.state_prefix(partition)].map(Value::from).into();
            let (mut reply, _) = self.generations.ask(partition, &SCRIPTS.outbox_shed, keys.clone(), arguments).await?;
            let next: String =
                reply.fields.pop().and_then(|next| next.convert().ok()).ok_or_else(RedisError::protocol)?;
            let [bytes, bodies] = numbers(&reply.fields)?;
            (freed, count, begin) = (freed + bytes, count + bodies, next);
            if begin.is_empty() {
                break;
            }
        }
        Ok(count)
    }
}

fn numbers<const N: usize>(fields: &[Value]) -> Result<[u64; N], RedisError> {
    let numbers: Option<Vec<u64>> = fields.iter().map(Value::as_u64).collect();
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(RedisError::protocol)
}
