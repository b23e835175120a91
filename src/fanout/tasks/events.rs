//! Merges what the bus brings into the watched sessions.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::bus::BusEvent;
use crate::fanout::shared::Shared;
use crate::telemetry::metrics;

const MAX_EVENTS_PER_TURN: usize = 64;

/// Runs until it is dropped, or the bus closes.
pub(in crate::fanout) async fn run(shared: Arc<Shared>, mut received: mpsc::Receiver<BusEvent>) {
    let mut events = Vec::with_capacity(MAX_EVENTS_PER_TURN);
    while received.recv_many(&mut events, MAX_EVENTS_PER_TURN).await > 0 {
        events.drain(..).for_each(|event| receive(&shared, event));
        // A busy bus must not keep its worker from the subscribers.
        tokio::task::yield_now().await;
    }
}

fn receive(shared: &Shared, event: BusEvent) {
    match event {
        BusEvent::Message(message) => {
            let topic = shared.topics().get(&message.key).cloned();
            if let Some(topic) = topic {
                shared.apply(&topic, topic.receive(&message, &shared.settings));
            }
        }
        BusEvent::Gap => {
            ::metrics::counter!(metrics::GAPS_TOTAL).increment(1);
            shared.invalidate_all();
        }
    }
}
