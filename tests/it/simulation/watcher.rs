//! Who watches a session: comes, is cut off, comes back with what it had, at any instance.

use std::sync::Arc;
use std::time::Duration;

use synckairos::domain::id::SessionKey;
use synckairos::domain::position::Position;
use synckairos::fanout::{Delivery, EndReason, Subscription, Transport, Update, UpdateKind};
use tokio::time::{Instant, sleep, sleep_until};

use super::client::key;
use super::record::{Event, Observation};
use super::world::World;
use crate::harness::rng::Rng;

/// A watcher of the world.
pub struct Watcher {
    world: Arc<World>,
    number: usize,
    key: SessionKey,
    rng: Rng,
    last: Option<Position>,
}

/// Why a connection ended.
enum End {
    Cut,
    Missing,
}

impl Watcher {
    pub fn new(world: &Arc<World>, number: usize, session: usize) -> Self {
        let rng = world.around.plan.rng("watcher", number as u64);
        Self { world: Arc::clone(world), number, key: key(session), rng, last: None }
    }

    /// Watches until it is dropped.
    pub async fn run(mut self) {
        loop {
            let slot = self.rng.below(self.world.around.plan.instances);
            let Some(instance) = self.world.instance(slot) else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            let subscription = instance.hub.subscribe(&self.key, self.last, Transport::WebSocket);
            self.saw(Observation::Connected(self.last));
            let end = tokio::select! {
                biased;
                () = instance.running.aborted() => End::Cut,
                () = self.world.clone().leaves(self.stays()) => End::Cut,
                end = self.follow(subscription) => end,
            };
            let pause = match end {
                End::Cut => 1 + self.rng.below(100),
                End::Missing => 100,
            };
            self.saw(Observation::Cut);
            sleep(Duration::from_millis(pause as u64)).await;
        }
    }

    /// How long it stays connected, while it is in the mood for walking.
    fn stays(&mut self) -> Instant {
        Instant::now() + Duration::from_millis(50 + self.rng.below(3_000) as u64)
    }

    async fn follow(&mut self, mut subscription: Subscription) -> End {
        loop {
            match subscription.next().await {
                Delivery::Update(told) => self.told(&told),
                // A watcher that was told of the end gets no more.
                Delivery::Ended(EndReason::Deleted) => std::future::pending().await,
                Delivery::Ended(EndReason::Missing) => {
                    self.last = None;
                    self.world.is_nowhere(self.number);
                    self.saw(Observation::Missing);
                    return End::Missing;
                }
            }
        }
    }

    fn told(&mut self, told: &Update) {
        let Some(position) = told.position else { return };
        self.last = Some(position);
        self.world.is_at(self.number, position);
        self.world.is_over(self.number, told.kind == UpdateKind::Deletion);
        self.saw(match told.kind {
            UpdateKind::State => Observation::State(position, told.frames[0].clone()),
            UpdateKind::Deletion => Observation::Deleted(position),
            _ => Observation::Write(position, told.frames.to_vec()),
        });
    }

    fn saw(&self, seen: Observation) {
        self.world.record.add(Event::Observation { watcher: self.number, key: self.key.clone(), seen });
    }
}

impl World {
    /// Returns when a watcher walks on: then, unless all has become calm before.
    async fn leaves(self: Arc<Self>, at: Instant) {
        sleep_until(at).await;
        if self.is_calm() {
            std::future::pending::<()>().await;
        }
    }
}
