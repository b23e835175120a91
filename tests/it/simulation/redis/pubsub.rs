//! The bus of an instance: pub/sub over a connection that may be cut.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use synckairos::bus::{Bus, BusEvent, BusUnavailable, Message};
use synckairos::domain::id::SessionKey;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::server::Server;
use crate::simulation::link::Link;

/// More than any schedule says.
const CAPACITY: usize = 4_096;

/// Between two tries to listen again.
const RESUBSCRIBE_DELAY: Duration = Duration::from_millis(20);

/// Hands messages to the instance.
pub struct EventSender(mpsc::Sender<BusEvent>);

impl EventSender {
    pub fn send(&self, message: Message) {
        let _ = self.0.try_send(BusEvent::Message(message));
    }
}

/// The bus of one instance.
pub struct SimulatedBus {
    server: Server,
    link: Link,
    /// Which connection this is, for the server.
    number: u64,
    wanted: Mutex<BTreeSet<SessionKey>>,
    sender: Arc<EventSender>,
    events: Mutex<Option<mpsc::Receiver<BusEvent>>>,
}

impl SimulatedBus {
    pub fn new(server: Server, link: Link, number: u64) -> Self {
        let (sender, events) = mpsc::channel(CAPACITY);
        let sender = Arc::new(EventSender(sender));
        Self { server, link, number, wanted: Mutex::default(), sender, events: Mutex::new(Some(events)) }
    }

    /// Listens anew after a cut, and tells of it; runs until it is dropped.
    pub async fn run(&self) {
        let was_cut = self.link.was_cut();
        loop {
            was_cut.notified().await;
            while !self.is_renewed().await {
                sleep(RESUBSCRIBE_DELAY).await;
            }
            let _ = self.sender.0.try_send(BusEvent::Gap);
        }
    }

    /// Whether all that is wanted is listened to again.
    async fn is_renewed(&self) -> bool {
        let cuts = self.link.cuts();
        self.server.forget(self.number);
        let wanted: Vec<_> = self.wanted().iter().cloned().collect();
        self.subscribe(wanted).await.is_ok() && self.link.cuts() == cuts
    }

    async fn subscribe(&self, keys: Vec<SessionKey>) -> Result<(), BusUnavailable> {
        let (server, link, number) = (self.server.clone(), self.link.clone(), self.number);
        let sender = Arc::clone(&self.sender);
        self.link.ask(move || server.subscribe(number, &link, &sender, &keys)).await.map_err(|_| BusUnavailable)
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, BTreeSet<SessionKey>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Bus for SimulatedBus {
    async fn subscribe(&self, key: &SessionKey) -> Result<(), BusUnavailable> {
        self.wanted().insert(key.clone());
        self.subscribe(vec![key.clone()]).await
    }

    async fn unsubscribe(&self, key: &SessionKey) {
        self.wanted().remove(key);
        self.server.unsubscribe(self.number, key);
    }

    fn events(&self) -> Option<mpsc::Receiver<BusEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
