//! A subscription to the bus: every frame published for one session.

use std::sync::Arc;

use serde_json::Value;
use synckairos::bus;
use synckairos::bus::{Bus, Message};
use synckairos::domain::id::SessionKey;
use synckairos::server::Services;
use tokio::sync::mpsc::Receiver;

use super::soon;

/// The frames published for one session since the tap was opened.
pub struct BusTap {
    receiver: Receiver<bus::BusEvent>,
    _bus: Arc<dyn Bus>,
}

impl BusTap {
    pub async fn of(parts: &Services, key: &SessionKey) -> Self {
        let bus = parts.backend.bus().await.unwrap();
        bus.subscribe(key).await.unwrap();
        Self { receiver: bus.events().unwrap(), _bus: bus }
    }

    /// The next write's frames. Who begins to listen is told of a gap first.
    pub async fn next(&mut self) -> Vec<Value> {
        loop {
            match soon("an announcement", self.receiver.recv()).await {
                Some(bus::BusEvent::Message(message)) => return frames(&message),
                Some(bus::BusEvent::Gap) => {}
                None => panic!("nothing is heard any more"),
            }
        }
    }

    /// What has come so far and was not asked for.
    pub fn rest(&mut self) -> Vec<Vec<Value>> {
        let heard = std::iter::from_fn(|| self.receiver.try_recv().ok());
        let messages = heard.filter_map(|heard| match heard {
            bus::BusEvent::Message(message) => Some(frames(&message)),
            bus::BusEvent::Gap => None,
        });
        messages.collect()
    }
}

fn frames(message: &Message) -> Vec<Value> {
    let lines = message.frames.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}
