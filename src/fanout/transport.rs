//! The transports that subscribers come over.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket.
    WebSocket,
    /// Server-sent events.
    Sse,
    /// Long-poll.
    Poll,
}

impl Transport {
    const ALL: [Self; 3] = [Self::WebSocket, Self::Sse, Self::Poll];

    /// Its name in metrics and in the status of an instance.
    pub const fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Poll => "poll",
        }
    }
}

/// How many subscribers each transport has.
#[derive(Debug, Default)]
pub(super) struct SubscriberCounts([AtomicUsize; Transport::ALL.len()]);

impl SubscriberCounts {
    pub fn add(&self, transport: Transport) {
        self.0[transport as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn remove(&self, transport: Transport) {
        self.0[transport as usize].fetch_sub(1, Ordering::Relaxed);
    }

    pub fn all(&self) -> [(Transport, usize); Transport::ALL.len()] {
        Transport::ALL.map(|transport| (transport, self.0[transport as usize].load(Ordering::Relaxed)))
    }
}
