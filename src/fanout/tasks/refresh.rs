//! Reads the source: one read of a session at a time, of many sessions at once.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use crate::fanout::refresh_state::ReadKind;
use crate::fanout::shared::Shared;
use crate::fanout::topic::{Effects, Topic};
use crate::fanout::{Health, NewestState, Unavailable};
use crate::telemetry::outage::LogThrottle;

const MAX_CONCURRENT_READS: usize = 32;

const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A check may overtake the bus, which brings the same write with all its frames. A write
/// that it has not brought by then was missed.
const BUS_WAIT: Duration = Duration::from_millis(100);

/// A read that failed or was of no use occupies one of the concurrent reads for so long. So
/// a source that is down is read no more often than it can bear.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

static READ_FAILURES: LogThrottle = LogThrottle::new();

/// Runs until it is dropped.
pub(in crate::fanout) async fn run(shared: Arc<Shared>) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            // Always in this order, so that a run can be repeated.
            biased;
            topic = shared.refreshes.next(), if running.len() < MAX_CONCURRENT_READS => running.push(refresh(&shared, topic)),
            Some(()) = running.next() => {}
        }
    }
}

async fn refresh(shared: &Shared, topic: Arc<Topic>) {
    let begun = topic.begin_read();
    let read = read(shared, &topic, begun.must_subscribe);
    let found = timeout(READ_TIMEOUT, read).await.unwrap_or(Err(Unavailable::STORE));
    if begun.kind == ReadKind::Check && found.as_ref().is_ok_and(|newest| topic.is_behind(newest.as_ref())) {
        sleep(BUS_WAIT).await;
    }
    let (is_known, effects) = merge(shared, &topic, found);
    shared.apply(&topic, effects);
    if !is_known && topic.is_watched() {
        sleep(RETRY_INTERVAL).await;
        shared.apply(&topic, topic.request(ReadKind::State));
    }
    shared.apply(&topic, topic.end_read());
}

async fn read(shared: &Shared, topic: &Topic, must_subscribe: bool) -> Result<Option<NewestState>, Unavailable> {
    if must_subscribe {
        shared.parts.bus.subscribe(&topic.key).await.map_err(|_| Unavailable::STORE)?;
        topic.mark_subscribed();
    }
    shared.parts.source.newest(&topic.key).await
}

/// Whether the session's state is known now, or known not to exist.
fn merge(shared: &Shared, topic: &Topic, found: Result<Option<NewestState>, Unavailable>) -> (bool, Effects) {
    match found {
        Ok(found) => {
            shared.source_health.answered();
            topic.finish_read(found, &shared.settings)
        }
        Err(why) => {
            // Of many sessions, some may be readable and others not.
            if shared.source_health.health() == Health::Ok
                && let Some(times) = READ_FAILURES.next()
            {
                let (session, code) = (&topic.key.session, why.code.as_str());
                tracing::warn!(session.id = %session, code, times, "cannot read the state of sessions");
            }
            shared.source_health.failed(shared.parts.clock.now());
            (false, topic.fail_read(why))
        }
    }
}
