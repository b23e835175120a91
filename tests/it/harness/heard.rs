//! An ear on the bus: what is announced of a session, without asking for it.

use serde_json::Value;
use synckairos::bus;
use synckairos::bus::memory::MemoryBus;
use synckairos::bus::{Bus as _, Message};
use synckairos::domain::id::SessionKey;
use synckairos::server::Parts;
use tokio::sync::mpsc::Receiver;

use super::soon;

/// What was announced of one session since.
pub struct Heard {
    receiver: Receiver<bus::Heard>,
    _bus: MemoryBus,
}

impl Heard {
    pub async fn of(parts: &Parts, key: &SessionKey) -> Self {
        let bus = parts.hub.attach();
        bus.listen(key).await.unwrap();
        Self { receiver: bus.ear().unwrap(), _bus: bus }
    }

    /// The next write's frames.
    pub async fn next(&mut self) -> Vec<Value> {
        match soon("an announcement", self.receiver.recv()).await {
            Some(bus::Heard::Message(message)) => frames(&message),
            other => panic!("an announcement, not {other:?}"),
        }
    }

    /// What has come so far and was not asked for.
    pub fn rest(&mut self) -> Vec<Vec<Value>> {
        std::iter::from_fn(|| self.receiver.try_recv().ok())
            .map(|heard| match heard {
                bus::Heard::Message(message) => frames(&message),
                bus::Heard::Gap => panic!("a gap in one process"),
            })
            .collect()
    }
}

fn frames(message: &Message) -> Vec<Value> {
    let lines = message.frames.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}
