//! Reads the source: one read of a session at a time, so many sessions at once.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::hub::Hub;
use super::topic::Topic;
use super::{Health, Newest, Unavailable};
use crate::telemetry::outage::LogThrottle;

/// So many sessions are read at once; the others stand in line.
const MAX_CONCURRENT_READS: usize = 32;

/// A read that takes longer has failed.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A check may overtake the bus, which then tells the same with all its frames. Only
/// what it has not told by then was missed.
const BREAKER_WAIT: Duration = Duration::from_millis(100);

/// Before a read that failed or was of no use is repeated. Meanwhile it takes up one
/// of the places, so a source that is down is asked no oftener than it can bear.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

static READ_FAILURES: LogThrottle = LogThrottle::new();

/// Runs until it is dropped.
pub(super) async fn run(hub: &Hub) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            // In this order always, so that a run can be repeated; the line is left alone when all places are taken.
            biased;
            topic = hub.shared.refreshes.next(), if running.len() < MAX_CONCURRENT_READS => running.push(refresh(hub, topic)),
            Some(()) = running.next() => {}
        }
    }
}

async fn refresh(hub: &Hub, topic: Arc<Topic>) {
    let is_check = topic.take_check();
    let is_deaf = topic.begin_read();
    let read = async {
        if is_deaf {
            hub.parts.bus.subscribe(&topic.key).await.map_err(|_| Unavailable::STORE)?;
            topic.mark_subscribed();
        }
        hub.parts.source.newest(&topic.key).await
    };
    let read = timeout(READ_TIMEOUT, read).await.unwrap_or(Err(Unavailable::STORE));
    if is_check && read.as_ref().is_ok_and(|newest| topic.is_behind(newest.as_ref())) {
        sleep(BREAKER_WAIT).await;
    }
    if !apply(hub, &topic, read) && topic.is_watched() {
        sleep(RETRY_INTERVAL).await;
        topic.request_read();
    }
    topic.end_read();
}

/// Whether nothing is left to be read.
fn apply(hub: &Hub, topic: &Arc<Topic>, read: Result<Option<Newest>, Unavailable>) -> bool {
    let found = match read {
        Ok(found) => found,
        Err(why) => {
            // Of many sessions, some may be read and others not.
            if hub.source_health.health() == Health::Ok
                && let Some(times) = READ_FAILURES.next()
            {
                let (session, code) = (&topic.key.session, why.code.as_str());
                tracing::warn!(session.id = %session, code, times, "cannot read where sessions stand");
            }
            hub.source_health.failed(hub.parts.clock.now());
            topic.fail_read(why);
            return false;
        }
    };
    hub.source_health.answered();
    let is_found = found.is_some();
    let is_answer = match found {
        None => topic.mark_missing(),
        Some(newest) => topic.merge(newest, &hub.settings),
    };
    if is_answer {
        topic.finish_read();
    }
    !is_found || topic.is_known()
}
