//! The task of a subscriber: opens its stream, follows it, and opens it again when it ends.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::record::Record;
use super::streams;
use super::streams::Permit;
use super::subscriber::Subscriber;
use crate::target::Transport;

/// Attempts in a row to open a stream before the subscriber gives up.
const MAX_ATTEMPTS: u32 = 50;

/// The shortest pause between two attempts; it is up to twice as long by the place, so that they spread out.
const MIN_PAUSE_MS: u64 = 100;

/// Runs until it is aborted, or until it gives up.
pub async fn run(subscriber: Subscriber, gate: Arc<Semaphore>) {
    let mut attempts = 0;
    while attempts < MAX_ATTEMPTS {
        let permit = Arc::clone(&gate).acquire_owned().await.ok();
        let Err(error) = follow(&subscriber, permit).await;
        let was_open = subscriber.record.with(|record| record.lost(subscriber.place, &error.to_string()));
        attempts = if was_open { 1 } else { attempts + 1 };
        sleep(pause(subscriber.place, attempts)).await;
    }
    subscriber.record.with(Record::gave_up);
}

async fn follow(subscriber: &Subscriber, permit: Permit) -> io::Result<Infallible> {
    match subscriber.spec.transport {
        Transport::Ws => streams::websocket(subscriber, permit).await,
        Transport::Sse => streams::events(subscriber, permit).await,
        Transport::Poll => streams::polls(subscriber, permit).await,
    }
}

fn pause(place: usize, attempts: u32) -> Duration {
    let spread = place as u64 + u64::from(attempts);
    Duration::from_millis(MIN_PAUSE_MS + spread.wrapping_mul(7_919) % MIN_PAUSE_MS)
}
