//! Leases that all instances over the server share, by true time.

use std::time::Duration;

use async_trait::async_trait;
use synckairos::membership::{InstanceId, LeaseError, Leases, Member, Renewed, Subject};
use tokio::time::Instant;

use super::server::{Server, State};
use crate::simulation::link::{Failure, Link};

/// The leases, over an instance's link.
pub struct SimulatedLeases {
    server: Server,
    link: Link,
    lease: Duration,
}

impl SimulatedLeases {
    pub const fn new(server: Server, link: Link, lease: Duration) -> Self {
        Self { server, link, lease }
    }

    async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, LeaseError> {
        let server = self.server.clone();
        let asked = self.link.ask(move || server.step(act));
        asked.await.map_err(|failure: Failure| LeaseError(format!("{failure:?}").into()))
    }
}

fn living(state: &mut State) -> Vec<Member> {
    let now = Instant::now();
    state.leases.retain(|_, (_, until)| *until > now);
    state.leases.values().map(|(member, _)| member.clone()).collect()
}

#[async_trait]
impl Leases for SimulatedLeases {
    async fn renew(&self, member: &Member) -> Result<Renewed, LeaseError> {
        let (member, lease) = (member.clone(), self.lease);
        self.ask(move |state| {
            living(state);
            let is_new = state.leases.insert(member.instance, (member, Instant::now() + lease)).is_none();
            Renewed { live_members: living(state), is_new, control_revision: None }
        })
        .await
    }

    async fn leave(&self, instance: InstanceId) -> Result<Vec<Member>, LeaseError> {
        self.ask(move |state| {
            state.leases.remove(&instance);
            living(state)
        })
        .await
    }

    /// Streams are not counted here.
    async fn try_acquire(&self, _: InstanceId, _: Subject, _: u32, _: u32) -> Result<bool, LeaseError> {
        Ok(true)
    }

    async fn publish(&self, _: InstanceId, _: &[(Subject, u32)]) -> Result<(), LeaseError> {
        Ok(())
    }
}
